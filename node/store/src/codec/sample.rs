//! Random rows. What a seed gives is part of the vectors in the tests: do not change it.

use lockstep_types::{
    Address, B256, BaseSystemContracts, BatchClaim, BatchCommitment, BatchHeader, BatchSteps,
    BatchWrite, BlockHeader, BlockParams, Bloom, Bytes, CommitmentInputs, DaValidator, DiffHashes,
    Event, Execute, Fee, FeeInput, Finality, InteropRoot, L1Check, L2Common, L2ToL1Log,
    ObsoletePriority, PaymasterParams, PriorityCommon, PubdataParams, PubdataType, Receipt,
    SettlementLayer, StepTx, StorageSlot, Transaction, TxCommon, TxStatus, TxType, U256,
    UpgradeCommon,
};

use super::{ChainIdentity, SlotInfo, StoredBytecode, TxPosition};

/// Random numbers (SplitMix64).
#[derive(Debug)]
pub(super) struct Gen(u64);

impl Gen {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.word() % bound).unwrap()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::sample(self)).collect()
    }

    pub(super) fn sample<T: Sample>(&mut self) -> T {
        T::sample(self)
    }
}

/// Can be drawn.
pub(super) trait Sample {
    fn sample(draw: &mut Gen) -> Self;
}

impl Sample for u64 {
    /// Of every length, the ends of the range more often.
    fn sample(draw: &mut Gen) -> Self {
        match draw.below(8) {
            0 => 0,
            1 => Self::MAX,
            2 => 0x7f + draw.word() % 2,
            _ => draw.word() >> draw.below(64),
        }
    }
}

macro_rules! narrow {
    ($($narrow:ty),*) => {
        $(
            impl Sample for $narrow {
                fn sample(draw: &mut Gen) -> Self {
                    let wide: u64 = draw.sample();
                    Self::try_from(wide % (u64::from(Self::MAX) + 1)).unwrap()
                }
            }
        )*
    };
}

narrow!(u8, u16, u32);

impl Sample for bool {
    fn sample(draw: &mut Gen) -> Self {
        draw.word().is_multiple_of(2)
    }
}

impl Sample for B256 {
    fn sample(draw: &mut Gen) -> Self {
        Self::from_slice(&draw.bytes(32))
    }
}

impl Sample for Address {
    fn sample(draw: &mut Gen) -> Self {
        Self::from_slice(&draw.bytes(20))
    }
}

impl Sample for U256 {
    fn sample(draw: &mut Gen) -> Self {
        match draw.below(8) {
            0 => Self::ZERO,
            1 => Self::MAX,
            _ => Self::from_be_bytes(draw.sample::<B256>().0) >> draw.below(256),
        }
    }
}

impl Sample for Bytes {
    fn sample(draw: &mut Gen) -> Self {
        let count = [0, 1, 31, 32, 33, 64, 200][draw.below(7)];
        draw.bytes(count).into()
    }
}

impl Sample for String {
    fn sample(draw: &mut Gen) -> Self {
        let words = ["", "2024-01-02T03:04:05Z", "Fehlschlag: Überlauf", "0x", "\u{1f980}"];
        words[draw.below(words.len())].repeat(draw.below(3))
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(draw: &mut Gen) -> Self {
        draw.sample::<bool>().then(|| draw.sample())
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(draw: &mut Gen) -> Self {
        (0..draw.below(5)).map(|_| draw.sample()).collect()
    }
}

impl<A: Sample, B: Sample> Sample for (A, B) {
    fn sample(draw: &mut Gen) -> Self {
        (draw.sample(), draw.sample())
    }
}

impl Sample for Bloom {
    /// Empty, nearly so, at the edge between the two forms, and full.
    fn sample(draw: &mut Gen) -> Self {
        let mut bloom = Self::ZERO;
        for _ in 0..[0, 3, 100, 180, 400, 4000][draw.below(6)] {
            bloom.0[draw.below(256)] = draw.sample();
        }
        bloom
    }
}

macro_rules! newtypes {
    ($($name:ident),*) => {
        $(
            impl Sample for lockstep_types::$name {
                fn sample(draw: &mut Gen) -> Self {
                    Self(draw.sample())
                }
            }
        )*
    };
}

newtypes!(
    L2BlockNumber,
    L1BatchNumber,
    LeafIndex,
    UnixSeconds,
    ChainId,
    ProtocolVersion,
    L2BlockHash,
    TxHash,
    StateRoot,
    Commitment,
    BytecodeHash,
    HashedKey
);

macro_rules! structs {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(
            impl Sample for $name {
                fn sample(draw: &mut Gen) -> Self {
                    Self { $($field: draw.sample()),* }
                }
            }
        )*
    };
}

structs! {
    BaseSystemContracts { bootloader, default_account, evm_emulator }
    FeeInput { l1_gas_price, fair_l2_gas_price, fair_pubdata_price }
    InteropRoot { chain_id, block_number, sides }
    PubdataParams { validator, pubdata_type }
    BlockParams {
        number, batch, is_fictive, timestamp, fee_input, base_system_contracts, fee_account,
        virtual_block_count, version, pubdata_params, pubdata_bytes_max, interop_roots,
        settlement_layer, interop_fee,
    }
    BlockHeader {
        params, hash, parent, l1_tx_count, l2_tx_count, first_tx_index_in_batch, base_fee_per_gas,
        gas_per_pubdata_limit, gas_limit, gas_used, logs_bloom, event_count, l2_to_l1_log_count,
    }
    Event { address, topics, data }
    L2ToL1Log { shard_id, is_service, tx_index_in_batch, sender, key, value }
    Receipt {
        status, gas_refunded, contract_address, first_event_index, events,
        first_l2_to_l1_log_index, l2_to_l1_logs,
    }
    StorageSlot { address, key }
    BatchHeader {
        number, timestamp, version, first_block, last_block, l1_tx_count, l2_tx_count,
        next_leaf_index, priority_ops_hash,
    }
    BatchWrite { hashed_key, leaf_index, value }
    CommitmentInputs { system_logs, pubdata, bootloader_heap, changed }
    BatchClaim { number, root, commitment }
    BatchCommitment {
        number, commitment, pass_through_hash, meta_hash, aux_hash, l2_to_l1_root, diffs,
    }
    DiffHashes { state_diffs_hash, heap_hash, events_queue_hash }
    StepTx { tx_hash, at, chain_id, finality }
    BatchSteps { commit, prove, execute }
    ChainIdentity { l2_chain_id, l1_chain_id, genesis_root, genesis_commitment }
    SlotInfo { leaf_index, batch }
    StoredBytecode { since, code }
    TxPosition { block, index }
    Fee { gas_limit, max_fee_per_gas, max_priority_fee_per_gas, gas_per_pubdata_limit }
    PaymasterParams { paymaster, input }
    ObsoletePriority { layer_2_tip_fee, full_fee, deadline_block, eth_hash }
    PriorityCommon {
        hash, sender, serial_id, max_fee_per_gas, gas_limit, gas_per_pubdata_limit, to_mint,
        refund_recipient, eth_block, obsolete,
    }
    UpgradeCommon {
        hash, sender, upgrade, max_fee_per_gas, gas_limit, gas_per_pubdata_limit, to_mint,
        refund_recipient, eth_block, eth_hash,
    }
    L2Common { hash, nonce, fee, initiator, signature, tx_type, input, paymaster }
    Execute { to, calldata, value, factory_deps }
}

macro_rules! choices {
    ($($name:ident [$($choice:ident),*])*) => {
        $(
            impl Sample for $name {
                fn sample(draw: &mut Gen) -> Self {
                    let all = [$($name::$choice),*];
                    all[draw.below(all.len())]
                }
            }
        )*
    };
}

choices! {
    PubdataType [Rollup, NoDa, Avail, Celestia, Eigen, ObjectStore]
    Finality [Pending, FastFinalized, Finalized]
    TxType [Legacy, Eip2930, Eip1559, Eip712]
}

impl Sample for DaValidator {
    fn sample(draw: &mut Gen) -> Self {
        if draw.sample() { Self::Address(draw.sample()) } else { Self::Scheme(draw.sample()) }
    }
}

impl Sample for L1Check {
    fn sample(draw: &mut Gen) -> Self {
        match draw.below(3) {
            0 => Self::Equal { tx_hash: draw.sample() },
            1 => Self::NotChecked { settles_on: draw.sample() },
            _ => Self::Tolerated { tx_hash: draw.sample() },
        }
    }
}

impl Sample for SettlementLayer {
    fn sample(draw: &mut Gen) -> Self {
        if draw.sample() { Self::L1(draw.sample()) } else { Self::Gateway(draw.sample()) }
    }
}

impl Sample for TxStatus {
    fn sample(draw: &mut Gen) -> Self {
        if draw.sample() { Self::Success } else { Self::Reverted { reason: draw.sample() } }
    }
}

impl Sample for TxCommon {
    fn sample(draw: &mut Gen) -> Self {
        match draw.below(4) {
            0 => Self::Priority(Box::new(draw.sample())),
            1 => Self::Upgrade(Box::new(draw.sample())),
            _ => Self::L2(Box::new(draw.sample())),
        }
    }
}

impl Sample for Transaction {
    /// Without signed bytes, with others, or with some that contain some of the parts.
    fn sample(draw: &mut Gen) -> Self {
        let (common, execute): (TxCommon, Execute) = (draw.sample(), draw.sample());
        let mut raw = draw.sample::<Bytes>().to_vec();
        let mut parts = vec![execute.calldata.clone()];
        parts.extend(execute.factory_deps.clone());
        if let TxCommon::L2(common) = &common {
            parts.push(common.signature.clone());
            parts.extend(common.input.clone());
        }
        for part in parts {
            match draw.below(4) {
                0 => raw.extend_from_slice(&part),
                1 => {
                    raw.extend_from_slice(&part);
                    raw.push(draw.sample());
                }
                2 => raw.extend_from_slice(&part[..part.len() / 2]),
                _ => {}
            }
        }
        let raw = (draw.below(4) > 0).then(|| raw.into());
        Self { common, execute, received_at_ms: draw.sample(), raw }
    }
}
