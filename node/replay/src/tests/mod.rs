//! Toy chains, run again.
