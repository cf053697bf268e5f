//! Chance that follows from a seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use lockstep_io::{DetRng, Entropy};
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Streams and secrets that follow from a seed and from how often each label was asked for. Clones
/// share the counts.
#[derive(Clone, Debug)]
pub struct SeededEntropy {
    seed: u64,
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl SeededEntropy {
    /// Chance from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, counts: Arc::default() }
    }

    /// A generator that no call with the same `label` got before.
    fn next(&self, kind: u8, label: &str) -> DetRng {
        let key = format!("{kind}:{label}");
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        *count += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&fnv(key.as_bytes()).to_le_bytes());
        seed[16..24].copy_from_slice(&count.to_le_bytes());
        DetRng::from_seed(seed)
    }
}

/// FNV-1a: the same on every machine, unlike the hash of the standard library.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Entropy for SeededEntropy {
    fn stream(&self, label: &'static str) -> DetRng {
        self.next(0, label)
    }

    /// Not secret at all: it follows from the seed.
    fn secret(&self, buf: &mut [u8]) {
        self.next(1, "").fill_bytes(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |seed| {
            let entropy = SeededEntropy::new(seed);
            let mut secret = [0; 16];
            entropy.secret(&mut secret);
            (entropy.stream("a").next_u64(), entropy.stream("a").next_u64(), secret)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn asking_for_one_label_does_not_shift_another() {
        let (one, other) = (SeededEntropy::new(1), SeededEntropy::new(1));
        other.stream("between").next_u64();
        other.secret(&mut [0; 4]);
        assert_eq!(one.stream("a").next_u64(), other.stream("a").next_u64());
    }
}
