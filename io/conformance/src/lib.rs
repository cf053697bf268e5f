//! What each seam of `io` promises, as one test body that every implementation must pass.
//!
//! The bodies know only the traits. They panic, with a sentence, where a promise is broken, so a
//! test of an implementation is a call: `store::check(&mut disk)`, `clock::check(&clock).await`.
//! What only one implementation can show (kill -9, damaged files) is tested beside it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test body tells of a broken promise")]

pub mod clock;
pub mod entropy;
pub mod store;
pub mod tasks;
