//! Chance from the operating system.

use lockstep_io::{DetRng, Entropy};
use rand::{RngCore as _, SeedableRng as _, rngs::OsRng};

/// Chance from the operating system; every stream has a fresh seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    ///
    /// If the operating system gives no randomness.
    fn stream(&self, _label: &'static str) -> DetRng {
        let mut seed = <DetRng as rand::SeedableRng>::Seed::default();
        self.secret(&mut seed);
        DetRng::from_seed(seed)
    }

    /// # Panics
    ///
    /// If the operating system gives no randomness.
    fn secret(&self, buf: &mut [u8]) {
        OsRng
            .try_fill_bytes(buf)
            .expect("the operating system has randomness once it has started a process");
    }
}
