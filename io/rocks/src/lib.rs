//! The store by RocksDB: each store a folder below the data directory, each table a column family.
//!
//! Promises what `io/traits` writes (C1–C10) and has no policy of its own. Every write goes through
//! the log of RocksDB, so process death loses nothing; a store is not flushed when it is closed.
//! What a folder goes through when it is made, replaced or removed is in `folder`.

#![warn(missing_docs)]

mod config;
mod error;
mod folder;
mod frozen;
mod options;
mod scan;
mod store;
mod stores;
mod view;

pub use self::{config::RocksConfig, stores::RocksStores};
