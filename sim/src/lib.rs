//! The deterministic simulator: the node as production runs it, in a world that is made from a
//! seed and in which anything may go wrong.
//!
//! A run is a function of the build and a [`Scenario`](scenario::Scenario), and a scenario is
//! drawn from a seed or written by hand. The world moves one clock, runs one process life at a
//! time, and asks the [`Model`](model::Model) for every answer of the main node and of L1; the
//! [`Judge`](judge::Judge) is told everything that happens.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of all that may happen, each invariant looks at little"
)]

pub mod campaign;
pub mod ci;
pub mod clients;
pub mod court;
pub mod era;
pub mod exec;
pub mod exhaustive;
pub mod judge;
mod log;
mod memo;
pub mod minimise;
pub mod model;
pub mod mutants;
pub mod net;
pub mod runner;
pub mod scenario;
pub mod serve;
pub mod store;
pub mod stories;
pub mod trace;
pub mod triggers;
pub mod world;
