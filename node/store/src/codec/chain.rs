//! What the store knows of its chain; layout of the chain row of [`META`](crate::tables::META).

use lockstep_types::{ChainId, Commitment, StateRoot};

use super::bytes::layout;

/// Which chain a data directory belongs to. Written with genesis, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainIdentity {
    /// The chain.
    pub l2_chain_id: ChainId,
    /// The L1 below it.
    pub l1_chain_id: ChainId,
    /// Root after genesis.
    pub genesis_root: StateRoot,
    /// Commitment of genesis.
    pub genesis_commitment: Commitment,
}

layout!(ChainIdentity { l2_chain_id, l1_chain_id, genesis_root, genesis_commitment });
