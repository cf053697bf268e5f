//! Typed tables over io's store.

pub mod tables;
