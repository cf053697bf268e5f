//! The assembly: opens the disk, decides where components start, wires them, runs them, stops
//! them.
//!
//! [`Replica::open`] and [`Replica::run`] are the only way to make the node run, in production and
//! in simulation.

#![warn(missing_docs)]

mod admin;
mod announcements;
mod checks;
mod commitment_rule;
mod config;
mod disk_trouble;
mod divergence;
mod fees;
mod genesis;
mod observe;
mod open;
mod progress;
mod roll_back;
mod run;
mod verify;

pub use lockstep_checkers::CommitmentsConfig;

pub use self::{
    commitment_rule::CommitmentRule,
    config::{GatewayConfig, ReplicaConfig},
    genesis::GenesisError,
    observe::{Observed, Observer},
    open::{OpenError, Replica},
    roll_back::{Operator, RollBackError, RolledBack, roll_back, roll_back_stored},
    run::Status,
    verify::{
        CommitmentCheck, Finding, L1Check, L1Verifier, L1VerifierConfig, VerifyError, check_blocks,
        check_commitment, check_numbers, check_tree,
    },
};
