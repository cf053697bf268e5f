//! Genesis: built from what the main node says, compared with what it announces, and only then
//! stored.

use lockstep_commitment::genesis_commitment;
use lockstep_io::{Par, WriteSet};
use lockstep_store::{BatchRecord, BlockRecord, ChainIdentity, Genesis, Views};
use lockstep_sync::{GenesisParts, GenesisState};
use lockstep_tree::{Tree, TreeConfig, TreeError};
use lockstep_types::{
    BatchHeader, BlockHeader, BlockParams, Bloom, ChainId, Commitment, CommitmentInputs, FeeInput,
    L1BatchNumber, L2BlockHash, L2BlockNumber, LeafIndex, ProtocolVersion, PubdataParams, Receipt,
    StateRoot, TxStatus, UnixSeconds, block::legacy_block_hash, keccak256,
};
use lockstep_vm::{Vm, VmError};

/// Why there is no genesis. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The main node serves another chain.
    #[error("the main node serves chain {theirs}, --l2-chain-id says {ours}: correct one of them")]
    WrongChain {
        /// As configured.
        ours: ChainId,
        /// As announced.
        theirs: ChainId,
    },
    /// L1 is not the chain that the main node's chain settles on.
    #[error(
        "the main node's chain begins on L1 chain {announced}, --l1-url serves chain {theirs}: correct --l1-url, or the main node is not the one you mean"
    )]
    OtherL1 {
        /// As the main node announces.
        announced: ChainId,
        /// As every L1 endpoint that answers says.
        theirs: ChainId,
    },
    /// What was built is not what is announced.
    #[error(
        "the {what} of genesis is {ours} as built here and {theirs} as the main node announces; a chain with a custom genesis cannot be started from genesis"
    )]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// As built.
        ours: String,
        /// As announced.
        theirs: String,
    },
    /// A chain this old can only be started from a snapshot.
    #[error(
        "the chain began with protocol version {0}, whose genesis this build cannot build: the oldest is v23"
    )]
    TooOld(ProtocolVersion),
    /// The announced configuration cannot be understood.
    #[error("the main node's genesis configuration cannot be used: {0}")]
    Config(String),
    /// The tree could not be built.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// This build cannot run the chain's first batches.
    #[error(transparent)]
    Vm(#[from] VmError),
}

/// Builds genesis and compares it with what the main node announces. Returns what to persist.
pub(crate) fn build(
    parts: &GenesisParts,
    l2_chain_id: ChainId,
    views: &Views,
    vm: &dyn Vm,
    par: &dyn Par,
) -> Result<(Genesis, WriteSet), GenesisError> {
    let config = &parts.config;
    if config.chain_id() != l2_chain_id {
        return Err(GenesisError::WrongChain { ours: l2_chain_id, theirs: config.chain_id() });
    }
    let version = config.version().map_err(|error| GenesisError::Config(error.to_string()))?;
    let state = parts.state();

    let view = views.now();
    let tree = Tree::open(view.raw(), TreeConfig { cache_bytes: 0 })?;
    let extension = tree.extend(view.raw(), L1BatchNumber(0), &state.writes, par)?;
    let root = extension.root;
    same("state root", root, config.root())?;
    same("leaf index", state.next_leaf_index, LeafIndex(config.rollup_last_leaf_index))?;
    let contracts = config.base_system_contracts();
    let commitment = genesis_commitment(state.next_leaf_index, root, &contracts, version)
        .ok_or(GenesisError::TooOld(version))?;
    same("commitment", commitment, config.commitment())?;

    let genesis = records(parts, &state, version, root, commitment, vm)?;
    Ok((genesis, extension.write_set))
}

/// The header of block 0.
fn header(
    parts: &GenesisParts,
    version: ProtocolVersion,
    vm: &dyn Vm,
) -> Result<BlockHeader, GenesisError> {
    let config = &parts.config;
    let fee_input = FeeInput { l1_gas_price: 0, fair_l2_gas_price: 0, fair_pubdata_price: Some(0) };
    let limits = vm.limits(version, &fee_input)?;
    Ok(BlockHeader {
        params: BlockParams {
            number: L2BlockNumber(0),
            batch: L1BatchNumber(0),
            is_fictive: true,
            timestamp: UnixSeconds(0),
            fee_input,
            base_system_contracts: config.base_system_contracts(),
            fee_account: config.fee_account,
            virtual_block_count: 0,
            version,
            pubdata_params: PubdataParams::default(),
            pubdata_bytes_max: (version >= ProtocolVersion::INTEROP).then_some(0),
            interop_roots: Vec::new(),
            settlement_layer: None,
            interop_fee: None,
        },
        hash: legacy_block_hash(L2BlockNumber(0)),
        parent: L2BlockHash::default(),
        l1_tx_count: 0,
        l2_tx_count: 0,
        first_tx_index_in_batch: 0,
        base_fee_per_gas: 0,
        gas_per_pubdata_limit: limits.gas_per_pubdata_limit,
        gas_limit: 0,
        gas_used: 0,
        logs_bloom: Bloom::ZERO,
        event_count: 0,
        l2_to_l1_log_count: 0,
    })
}

/// The rows of block 0 and batch 0.
fn records(
    parts: &GenesisParts,
    state: &GenesisState,
    version: ProtocolVersion,
    root: StateRoot,
    commitment: Commitment,
    vm: &dyn Vm,
) -> Result<Genesis, GenesisError> {
    let config = &parts.config;
    let header = header(parts, version, vm)?;
    let own_share = Receipt {
        status: TxStatus::Success,
        gas_refunded: 0,
        contract_address: None,
        first_event_index: 0,
        events: Vec::new(),
        first_l2_to_l1_log_index: 0,
        l2_to_l1_logs: Vec::new(),
    };
    let mut slots: Vec<_> =
        state.slots.iter().map(|(slot, value)| (slot.hashed_key(), *value)).collect();
    slots.sort_unstable();
    let block = BlockRecord {
        header,
        transactions: Vec::new(),
        receipts: vec![own_share],
        state: slots,
        bytecodes: parts.bytecodes.iter().map(|(hash, code)| (*hash, code.clone())).collect(),
    };
    let batch = BatchRecord {
        header: BatchHeader {
            number: L1BatchNumber(0),
            timestamp: UnixSeconds(0),
            version,
            first_block: L2BlockNumber(0),
            last_block: L2BlockNumber(0),
            l1_tx_count: 0,
            l2_tx_count: 0,
            next_leaf_index: state.next_leaf_index,
            priority_ops_hash: keccak256([]),
        },
        writes: state.writes.clone(),
        first_new_index: LeafIndex(1),
        commitment_inputs: CommitmentInputs::default(),
    };
    let identity = ChainIdentity {
        l2_chain_id: config.chain_id(),
        l1_chain_id: ChainId(config.l1_chain_id),
        genesis_root: root,
        genesis_commitment: commitment,
    };
    Ok(Genesis { identity, block, batch })
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    ours: T,
    theirs: T,
) -> Result<(), GenesisError> {
    if ours == theirs {
        return Ok(());
    }
    Err(GenesisError::Mismatch { what, ours: ours.to_string(), theirs: theirs.to_string() })
}
