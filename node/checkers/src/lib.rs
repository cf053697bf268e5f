//! Is it true? Compares what this replica computed with what others say.

#![warn(missing_docs)]

mod agreement;
mod commitments;
mod l1_commits;
#[cfg(test)]
mod tests;

pub use self::{
    agreement::{Agreement, AgreementConfig, AgreementParts, RootOf},
    commitments::{CommitmentOf, Commitments, CommitmentsConfig},
    l1_commits::{CommitDifference, L1Commits, L1CommitsConfig, L1CommitsParts, Recheck},
};
