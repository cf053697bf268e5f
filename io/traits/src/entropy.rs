//! Chance.

use std::fmt;

/// A generator whose numbers follow from its seed.
pub type DetRng = rand_chacha::ChaCha8Rng;

/// Chance.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// A generator of its own for `label`, so that a draw added in one place does not shift the
    /// draws of another. Two calls with one label give different generators.
    fn stream(&self, label: &'static str) -> DetRng;

    /// Fills `buf` with bytes that nobody can guess: for ids that clients hold.
    fn secret(&self, buf: &mut [u8]);
}
