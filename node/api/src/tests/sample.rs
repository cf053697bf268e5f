//! A small chain: genesis; batch 1 with two blocks, the second fictive; and a block of batch 2,
//! which is open.

use lockstep_store::{BatchRecord, BlockRecord, ChainIdentity, Genesis};
use lockstep_types::{
    Address, B256, BaseSystemContracts, BatchHeader, BatchWrite, BlockHeader, BlockParams,
    BytecodeHash, Bytes, ChainId, Commitment, CommitmentInputs, Event, Execute, Fee, FeeInput,
    HashedKey, L1BatchNumber, L2BlockNumber, L2Common, L2ToL1Log, LeafIndex, PaymasterParams,
    PriorityCommon, ProtocolVersion, PubdataParams, Receipt, StateRoot, StorageSlot, Transaction,
    TxCommon, TxHash, TxStatus, TxType, U256, UnixSeconds, address, block::legacy_block_hash,
    log::bloom_of, transaction::ObsoletePriority,
};

use super::world::World;
use crate::ApiConfig;

pub(super) const ALICE: Address = Address::repeat_byte(0xa1);
pub(super) const CONTRACT: Address = Address::repeat_byte(0xc0);
/// Has code and sends transactions.
pub(super) const WALLET: Address = Address::repeat_byte(0x3a);
pub(super) const BASE_FEE: u64 = 100;

/// What is in a block, to be made a record.
#[derive(Default)]
pub(super) struct Block {
    pub(super) number: u32,
    pub(super) batch: u32,
    pub(super) first_tx_index_in_batch: u32,
    pub(super) transactions: Vec<(Transaction, Receipt)>,
    /// The fictive block's own share.
    pub(super) own: Option<Receipt>,
    pub(super) state: Vec<(StorageSlot, B256)>,
    pub(super) bytecodes: Vec<(BytecodeHash, Bytes)>,
}

impl Block {
    pub(super) fn record(self) -> BlockRecord {
        let is_priority = |tx: &&Transaction| tx.is_priority();
        let is_fictive = self.own.is_some();
        let gas_used = self
            .transactions
            .iter()
            .map(|(tx, receipt)| tx.gas_limit().to::<u64>() - receipt.gas_refunded);
        let gas_used = gas_used.sum();
        let (transactions, mut receipts): (Vec<_>, Vec<_>) = self.transactions.into_iter().unzip();
        receipts.extend(self.own);
        let (mut events, mut l2_to_l1_logs) = (0, 0);
        for receipt in &mut receipts {
            receipt.first_event_index = events;
            receipt.first_l2_to_l1_log_index = l2_to_l1_logs;
            events += u32::try_from(receipt.events.len()).unwrap();
            l2_to_l1_logs += u32::try_from(receipt.l2_to_l1_logs.len()).unwrap();
        }
        let l1_tx_count = u32::try_from(transactions.iter().filter(is_priority).count()).unwrap();
        let tx_count = u32::try_from(transactions.len()).unwrap();
        let header = BlockHeader {
            params: params(self.number, self.batch, is_fictive),
            hash: legacy_block_hash(L2BlockNumber(self.number)),
            parent: parent_of(self.number),
            l1_tx_count,
            l2_tx_count: tx_count - l1_tx_count,
            first_tx_index_in_batch: self.first_tx_index_in_batch,
            base_fee_per_gas: BASE_FEE,
            gas_per_pubdata_limit: 50_000,
            gas_limit: 1 << 50,
            gas_used,
            logs_bloom: bloom_of(receipts.iter().flat_map(|receipt| &receipt.events)),
            event_count: events,
            l2_to_l1_log_count: l2_to_l1_logs,
        };
        let hashed = |(slot, value): (StorageSlot, B256)| (slot.hashed_key(), value);
        let mut state: Vec<(HashedKey, B256)> = self.state.into_iter().map(hashed).collect();
        state.sort_unstable();
        BlockRecord { header, transactions, receipts, state, bytecodes: self.bytecodes }
    }
}

fn parent_of(number: u32) -> lockstep_types::L2BlockHash {
    L2BlockNumber(number).prev().map(legacy_block_hash).unwrap_or_default()
}

pub(super) fn params(number: u32, batch: u32, is_fictive: bool) -> BlockParams {
    BlockParams {
        number: L2BlockNumber(number),
        batch: L1BatchNumber(batch),
        is_fictive,
        timestamp: UnixSeconds(1_000 + u64::from(number)),
        fee_input: FeeInput { l1_gas_price: 7, fair_l2_gas_price: 8, fair_pubdata_price: Some(9) },
        base_system_contracts: BaseSystemContracts {
            bootloader: BytecodeHash(B256::repeat_byte(0xb0)),
            default_account: BytecodeHash(B256::repeat_byte(0xda)),
            evm_emulator: None,
        },
        fee_account: Address::repeat_byte(0xfe),
        virtual_block_count: 1,
        version: ProtocolVersion(29),
        pubdata_params: PubdataParams::default(),
        pubdata_bytes_max: None,
        interop_roots: Vec::new(),
        settlement_layer: None,
        interop_fee: None,
    }
}

/// A batch of blocks `first..=last` that writes to slots with the given indices.
pub(super) fn batch(
    number: u32,
    [first, last]: [u32; 2],
    writes: &[(StorageSlot, u64, u8)],
) -> BatchRecord {
    let write = |(slot, index, value): &(StorageSlot, u64, u8)| BatchWrite {
        hashed_key: slot.hashed_key(),
        leaf_index: LeafIndex(*index),
        value: B256::with_last_byte(*value),
    };
    BatchRecord {
        header: BatchHeader {
            number: L1BatchNumber(number),
            timestamp: UnixSeconds(1_000 + u64::from(first)),
            version: ProtocolVersion(29),
            first_block: L2BlockNumber(first),
            last_block: L2BlockNumber(last),
            l1_tx_count: 1,
            l2_tx_count: 3,
            next_leaf_index: LeafIndex(3),
            priority_ops_hash: B256::ZERO,
        },
        writes: writes.iter().map(write).collect(),
        first_new_index: LeafIndex(1),
        commitment_inputs: CommitmentInputs::default(),
    }
}

pub(super) fn genesis(state: Vec<(StorageSlot, B256)>) -> Genesis {
    Genesis {
        identity: ChainIdentity {
            l2_chain_id: ChainId(270),
            l1_chain_id: ChainId(9),
            genesis_root: StateRoot(B256::ZERO),
            genesis_commitment: Commitment(B256::repeat_byte(0x6c)),
        },
        block: Block { state, ..Block::default() }.record(),
        batch: batch(0, [0, 0], &[(StorageSlot::balance(ALICE), 1, 100)]),
    }
}

/// An L2 transaction of ALICE to CONTRACT with a proper signature.
pub(super) fn l2_tx(id: u8, tx_type: TxType) -> Transaction {
    let mut signature = vec![0x11; 32];
    signature.extend([0x00; 31]);
    signature.extend([0x22, 28]);
    Transaction {
        common: TxCommon::L2(Box::new(L2Common {
            hash: TxHash(B256::repeat_byte(id)),
            nonce: u32::from(id),
            fee: Fee {
                gas_limit: U256::from(10_000),
                max_fee_per_gas: U256::from(250),
                max_priority_fee_per_gas: U256::from(5),
                gas_per_pubdata_limit: U256::from(50_000),
            },
            initiator: ALICE,
            signature: signature.into(),
            tx_type,
            input: None,
            paymaster: PaymasterParams::default(),
        })),
        execute: execute(Some(CONTRACT)),
        received_at_ms: 0,
        raw: Some(Bytes::from(vec![id; 3])),
    }
}

/// A priority operation of ALICE to CONTRACT.
pub(super) fn priority_tx(id: u8) -> Transaction {
    Transaction {
        common: TxCommon::Priority(Box::new(PriorityCommon {
            hash: TxHash(B256::repeat_byte(id)),
            sender: ALICE,
            serial_id: 0,
            max_fee_per_gas: U256::from(300),
            gas_limit: U256::from(20_000),
            gas_per_pubdata_limit: U256::from(800),
            to_mint: U256::ZERO,
            refund_recipient: ALICE,
            eth_block: 0,
            obsolete: ObsoletePriority::default(),
        })),
        execute: execute(Some(CONTRACT)),
        received_at_ms: 0,
        raw: None,
    }
}

fn execute(to: Option<Address>) -> Execute {
    let calldata = Bytes::from_static(&[0xca, 0x11]);
    Execute { to, calldata, value: U256::from(17), factory_deps: Vec::new() }
}

pub(super) fn receipt(events: Vec<Event>) -> Receipt {
    Receipt {
        status: TxStatus::Success,
        gas_refunded: 1_000,
        contract_address: None,
        first_event_index: 0,
        events,
        first_l2_to_l1_log_index: 0,
        l2_to_l1_logs: Vec::new(),
    }
}

pub(super) fn event(address: u8, topics: &[u8]) -> Event {
    Event {
        address: Address::repeat_byte(address),
        topics: topics.iter().map(|topic| B256::repeat_byte(*topic)).collect(),
        data: Bytes::from_static(&[0xda]),
    }
}

/// EVM code of three bytes as it is stored, with its hash.
pub(super) fn evm_code() -> (BytecodeHash, Bytes) {
    let mut padded = vec![0; 32];
    padded[..3].copy_from_slice(&[0x60, 0x01, 0x00]);
    (BytecodeHash::of_padded_evm(&padded, 3).unwrap(), padded.into())
}

pub(super) fn slot_five() -> StorageSlot {
    StorageSlot::new(CONTRACT, B256::with_last_byte(5))
}

fn word(value: u64) -> B256 {
    U256::from(value).into()
}

/// `deployment · 2¹²⁸ + tx`.
fn nonces(deployment: u8, tx: u8) -> B256 {
    let mut value = B256::with_last_byte(tx);
    value[15] = deployment;
    value
}

fn block_1() -> BlockRecord {
    let log = L2ToL1Log {
        shard_id: 0,
        is_service: true,
        tx_index_in_batch: 0,
        sender: address::BOOTLOADER,
        key: B256::repeat_byte(1),
        value: B256::with_last_byte(1),
    };
    let priority = Receipt { l2_to_l1_logs: vec![log], ..receipt(vec![event(1, &[1, 2])]) };
    let mut deployment = l2_tx(0x12, TxType::Legacy);
    deployment.execute.to = None;
    let deployed = Receipt {
        contract_address: Some(Address::repeat_byte(0xde)),
        ..receipt(vec![event(2, &[1]), event(1, &[])])
    };
    let reverted =
        Receipt { status: TxStatus::Reverted { reason: "no".to_owned() }, ..receipt(Vec::new()) };
    let mut custom = l2_tx(0x14, TxType::Eip712);
    if let TxCommon::L2(common) = &mut custom.common {
        common.signature = Bytes::from_static(&[1, 2, 3]);
    }
    let (code_hash, code) = evm_code();
    let account_info = StorageSlot::new(
        address::CONTRACT_DEPLOYER,
        StorageSlot::nonces(WALLET).key, // Both are mappings at slot 0.
    );
    Block {
        number: 1,
        batch: 1,
        transactions: vec![
            (priority_tx(0x11), priority),
            (deployment, deployed),
            (l2_tx(0x13, TxType::Eip1559), reverted),
            (custom, receipt(Vec::new())),
        ],
        state: vec![
            (StorageSlot::balance(ALICE), word(50)),
            (StorageSlot::nonces(ALICE), nonces(2, 3)),
            (StorageSlot::nonces(CONTRACT), nonces(4, 5)),
            (StorageSlot::nonces(WALLET), nonces(6, 7)),
            (StorageSlot::code_hash(CONTRACT), code_hash.0),
            (StorageSlot::code_hash(WALLET), code_hash.0),
            (account_info, word(1)),
            (slot_five(), word(7)),
        ],
        bytecodes: vec![(code_hash, code)],
        ..Block::default()
    }
    .record()
}

pub(super) fn batch_1() -> BatchRecord {
    batch(1, [1, 2], &[(StorageSlot::balance(ALICE), 1, 50), (slot_five(), 2, 7)])
}

/// The small chain, before batch 1 is in the tree.
pub(super) fn world() -> World {
    world_with(ApiConfig::default())
}

/// The same, with limits.
pub(super) fn world_with(config: ApiConfig) -> World {
    let mut world = World::new(config);
    world.persist_genesis(&genesis(vec![(StorageSlot::balance(ALICE), word(100))]));
    world.persist(&block_1(), None);
    let fictive = Block {
        number: 2,
        batch: 1,
        first_tx_index_in_batch: 4,
        own: Some(receipt(vec![event(3, &[9])])),
        ..Block::default()
    };
    world.persist(&fictive.record(), Some(&batch_1()));
    let open = Block {
        number: 3,
        batch: 2,
        transactions: vec![(l2_tx(0x31, TxType::Eip1559), receipt(vec![event(1, &[1])]))],
        state: vec![(StorageSlot::balance(ALICE), word(20))],
        ..Block::default()
    };
    world.persist(&open.record(), None);
    world
}
