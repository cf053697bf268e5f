//! What may happen to the main node and to L1 during a scenario.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

use super::{Dice, LieKind, ModelPlan};

/// Something that happens to the main node or to L1. Part of the text of scenarios: names stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelEvent {
    /// The main node's newest batches are replaced by others. Batches that are executed on L1
    /// stay, whatever the depth.
    Reorg {
        /// How many.
        depth: u32,
        /// Batches of the new chain after the last common one; 0: as many as the old chain.
        #[serde(default)]
        batches: u32,
        /// What the new ones are like.
        #[serde(default)]
        kind: ForkKind,
    },
    /// A reorg, and another one in each period after it.
    ReorgStorm {
        /// As of [`Reorg`](Self::Reorg).
        depth: u32,
        /// How many.
        count: u32,
        /// Time between them.
        period_ms: u64,
    },
    /// No new blocks for a while; then those that should have come, at once.
    Stall {
        /// How long.
        ms: u64,
    },
    /// The main node does not say any root or commitment for a while.
    HideRoots {
        /// How long.
        ms: u64,
    },
    /// The main node does not say any commitment for a while.
    HideCommitments {
        /// How long.
        ms: u64,
    },
    /// The main node says nothing of steps on L1 for a while.
    HideSteps {
        /// How long.
        ms: u64,
    },
    /// Details of batches are there before their last blocks are.
    DetailsEarly {
        /// How long.
        ms: u64,
    },
    /// L1 replaces its newest blocks. What is final there stays.
    L1Reorg {
        /// How many.
        depth: u64,
        /// What becomes of the chain's transactions in them.
        fate: L1Fate,
    },
    /// L1 does not show receipts for a while.
    HideReceipts {
        /// How long.
        ms: u64,
    },
    /// L1 has no new blocks for a while.
    L1Stall {
        /// How long.
        ms: u64,
    },
    /// The main node lies.
    Lie {
        /// How.
        kind: LieKind,
        /// Which endpoint, by position; `None`: all.
        #[serde(default)]
        endpoint: Option<usize>,
        /// How long.
        ms: u64,
        /// It lies about one in so many numbers of blocks or batches.
        #[serde(default = "one")]
        every: u32,
    },
}

fn one() -> u32 {
    1
}

/// What the batches of a fork are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkKind {
    /// Other transactions; priority operations come again in their order.
    #[default]
    Others,
    /// The first blocks of the first one are the same, the rest is not.
    SameStart,
    /// The same blocks; the first batch ends earlier.
    OtherSplit,
    /// The same transactions in another order.
    Reordered,
    /// The same transactions, later.
    Later,
}

/// What becomes of a transaction whose block is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum L1Fate {
    /// It is in a later block.
    Moved,
    /// It is in the block of the same number.
    Stays,
    /// It is gone, and the operator sends another one.
    Dropped,
}

impl ModelEvent {
    /// An event for a chain of `plan`.
    pub fn draw(plan: &ModelPlan, rng: &mut ChaCha8Rng) -> Self {
        let mut dice = Dice::new(rng.next_u64(), "event");
        let dice = &mut dice;
        let ms = *dice.pick(&[500, 3_000, 15_000, 40_000]);
        match dice.below(20) {
            0..=5 => Self::Reorg {
                depth: dice.between_u32(1, plan.batch_count.min(4)),
                batches: *dice.pick(&[0, 0, 1, 2, 5]),
                kind: *dice.pick(&ForkKind::ALL),
            },
            6 => Self::ReorgStorm {
                depth: dice.between_u32(1, 3),
                count: dice.between_u32(2, 4),
                period_ms: *dice.pick(&[300, 2_000, 9_000]),
            },
            7 => Self::Stall { ms },
            8 => Self::HideRoots { ms },
            9 => Self::HideCommitments { ms },
            10 => Self::HideSteps { ms },
            11 => Self::DetailsEarly { ms },
            12 => Self::L1Reorg {
                depth: dice.between(1, 6),
                fate: *dice.pick(&[L1Fate::Moved, L1Fate::Stays, L1Fate::Dropped]),
            },
            13 => Self::HideReceipts { ms },
            14 => Self::L1Stall { ms },
            _ => Self::Lie {
                kind: *dice.pick(&LieKind::ALL),
                endpoint: dice.chance(1, 2).then(|| dice.index(plan.main_node_count)),
                ms,
                every: *dice.pick(&[1, 2, 3]),
            },
        }
    }
}

impl ForkKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Others, Self::SameStart, Self::OtherSplit, Self::Reordered, Self::Later];
}
