//! What the benches share. Each bench says at its top which number it protects.

use lockstep_io::Par;
use rayon::prelude::*;

/// All cores, by rayon's own pool.
#[derive(Clone, Copy, Debug)]
pub struct AllCores;

impl Par for AllCores {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).into_par_iter().for_each(f);
    }
}
