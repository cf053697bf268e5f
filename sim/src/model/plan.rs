//! What the chain is like, as data.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

use super::Dice;

/// What the chain, its main node and L1 are like. Part of the text of scenarios: names stay.
///
/// Times are of the world; numbers of batches count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelPlan {
    /// Endpoints of the main node.
    pub main_node_count: usize,
    /// Endpoints of L1.
    pub l1_node_count: usize,
    /// Batches after genesis, when the world has ended.
    pub batch_count: u32,
    /// The chain's content follows from it and the seed of the run: many seeds can share a chain.
    pub chain: u64,
    /// Blocks of a batch at most, without the fictive one.
    pub blocks_max: u32,
    /// Transactions of a block at most.
    pub txs_max: u32,
    /// In ten batches, so many without any transaction.
    pub empty_batches: u32,
    /// In ten transactions, so many that are signed; the others come from L1.
    pub signed_txs: u32,
    /// Shares of deployments, of reverts and of new keys, in ten.
    pub deploys: u32,
    /// See [`deploys`](Self::deploys).
    pub reverts: u32,
    /// See [`deploys`](Self::deploys).
    pub new_keys: u32,
    /// Protocol version of genesis.
    pub version: u16,
    /// The first batch of the next version; 0: there is none.
    pub upgrade_at: u32,
    /// The first batch of a version that no build knows; 0: there is none.
    pub unknown_version_at: u32,
    /// From this batch on up to `settles_elsewhere_until` (exclusive) batches settle on another
    /// layer; 0: none does.
    pub settles_elsewhere_from: u32,
    /// See [`settles_elsewhere_from`](Self::settles_elsewhere_from).
    pub settles_elsewhere_until: u32,
    /// Blocks that are there when the world begins.
    pub blocks_at_start: u32,
    /// Time between blocks.
    pub block_ms: u64,
    /// Time until the root of a sealed batch is known.
    pub root_ms: u64,
    /// Time between a root and its commitment.
    pub commitment_ms: u64,
    /// Time between the steps of a batch on L1.
    pub step_ms: u64,
    /// Batches of one commit transaction at most.
    pub batches_per_step: u32,
    /// Time between blocks of L1.
    pub l1_block_ms: u64,
    /// Blocks of L1 until one is safe.
    pub l1_safe_blocks: u64,
    /// Blocks of L1 until one is final.
    pub l1_final_blocks: u64,
    /// How far each endpoint of the main node is behind; those that are not named are not.
    pub main_node_lag_ms: Vec<u64>,
    /// How far each endpoint of L1 is behind.
    pub l1_lag_ms: Vec<u64>,
    /// Endpoints of L1 that do not know what `finalized` is, by position.
    pub l1_without_finalized: Vec<usize>,
    /// Endpoints of L1 that write numbers as numbers, by position.
    pub l1_plain_numbers: Vec<usize>,
    /// Whether blocks are precommitted on L1.
    pub precommits: bool,
}

impl Default for ModelPlan {
    fn default() -> Self {
        Self {
            main_node_count: 1,
            l1_node_count: 1,
            batch_count: 6,
            chain: 1,
            blocks_max: 3,
            txs_max: 3,
            empty_batches: 1,
            signed_txs: 4,
            deploys: 2,
            reverts: 2,
            new_keys: 3,
            version: 29,
            upgrade_at: 0,
            unknown_version_at: 0,
            settles_elsewhere_from: 0,
            settles_elsewhere_until: 0,
            blocks_at_start: 8,
            block_ms: 1_500,
            root_ms: 800,
            commitment_ms: 500,
            step_ms: 3_000,
            batches_per_step: 2,
            l1_block_ms: 2_000,
            l1_safe_blocks: 2,
            l1_final_blocks: 5,
            main_node_lag_ms: Vec::new(),
            l1_lag_ms: Vec::new(),
            l1_without_finalized: Vec::new(),
            l1_plain_numbers: Vec::new(),
            precommits: false,
        }
    }
}

impl ModelPlan {
    /// Chains that a draw chooses from.
    const CHAINS: u64 = 512;

    /// A plan by chance.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut dice = Dice::new(rng.next_u64(), "plan");
        let dice = &mut dice;
        let batch_count = dice.between_u32(3, 8);
        let mut plan = Self {
            main_node_count: *dice.pick(&[1, 1, 2, 2, 3, 4]),
            l1_node_count: *dice.pick(&[1, 1, 2, 3]),
            batch_count,
            chain: dice.below(Self::CHAINS),
            blocks_max: dice.between_u32(1, 4),
            txs_max: *dice.pick(&[1, 2, 3, 8]),
            empty_batches: *dice.pick(&[0, 1, 3]),
            signed_txs: *dice.pick(&[0, 3, 5, 10]),
            deploys: *dice.pick(&[0, 1, 6]),
            reverts: *dice.pick(&[0, 1, 5]),
            new_keys: *dice.pick(&[0, 2, 9]),
            blocks_at_start: *dice.pick(&[0, 1, 6, 100]),
            block_ms: *dice.pick(&[200, 1_000, 3_000]),
            root_ms: *dice.pick(&[0, 500, 4_000]),
            commitment_ms: *dice.pick(&[0, 500, 4_000]),
            step_ms: *dice.pick(&[500, 3_000]),
            batches_per_step: dice.between_u32(1, 4),
            l1_block_ms: *dice.pick(&[500, 2_000]),
            l1_safe_blocks: *dice.pick(&[0, 2, 4]),
            ..Self::default()
        };
        plan.l1_final_blocks = plan.l1_safe_blocks + dice.between(1, 8);
        if dice.chance(1, 3) {
            plan.version = *dice.pick(&[26, 27, 28]);
            if dice.chance(3, 4) {
                plan.upgrade_at = dice.between_u32(1, batch_count);
            }
        }
        if dice.chance(1, 25) {
            plan.unknown_version_at = dice.between_u32(2, batch_count);
        }
        if dice.chance(1, 8) {
            plan.settles_elsewhere_from = dice.between_u32(1, batch_count);
            plan.settles_elsewhere_until =
                dice.between_u32(plan.settles_elsewhere_from, batch_count + 1);
        }
        if dice.chance(1, 3) {
            plan.main_node_lag_ms =
                (0..plan.main_node_count).map(|_| *dice.pick(&[0, 0, 300, 5_000])).collect();
        }
        if dice.chance(1, 3) {
            plan.l1_lag_ms =
                (0..plan.l1_node_count).map(|_| *dice.pick(&[0, 0, 1_000, 20_000])).collect();
        }
        if dice.chance(1, 3) {
            plan.l1_plain_numbers = vec![dice.index(plan.l1_node_count)];
        }
        // One at least says what is final: if none did, nothing would be.
        if plan.l1_node_count > 1 && dice.chance(1, 6) {
            let knows = dice.index(plan.l1_node_count);
            plan.l1_without_finalized =
                (0..plan.l1_node_count).filter(|provider| *provider != knows).collect();
        }
        plan
    }
}
