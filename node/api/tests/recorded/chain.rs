//! A store that is filled with a recorded chain.

use std::collections::BTreeMap;

use lockstep_commitment::l2_to_l1::aggregation_root_slot;
use lockstep_io::WriteSet;
use lockstep_store::{BatchRecord, BlockRecord, ChainIdentity, Genesis, Views, Writers};
use lockstep_testvectors::{MainNodeRecording, Recording};
use lockstep_types::{
    B256, BatchClaim, BatchHeader, BatchSteps, BlockHeader, ChainId, Commitment, CommitmentInputs,
    Event, Finality, L1BatchNumber, L2BlockHash, L2BlockNumber, L2ToL1Log, LeafIndex, Receipt,
    StateRoot, StepTx, Transaction, TxCommon, TxStatus,
    address::{BOOTLOADER, L1_MESSENGER},
    log::bloom_of,
};
use lockstep_wire::{SyncBlock, en::GenesisConfig, en::SyncBlockParts, eth, zks};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Persists the chain with what is known of its batches; there is no tree.
pub(super) fn fill(writers: &mut Writers, recording: &Recording) {
    let results = Results::of(recording);
    let main_node = &results.main_node;
    let mut batch = OpenBatch::default();
    let mut parent = L2BlockHash::default();
    for number in 0..=main_node.head() {
        let json: SyncBlock = ask(main_node, "en_syncL2Block", json!([number, true]));
        let parts = SyncBlockParts::try_from(json).unwrap();
        let shown: eth::Block =
            ask(main_node, "eth_getBlockByNumber", json!([format!("{number:#x}"), false]));
        let block = results.block(parts, &shown, parent, batch.tx_count);
        parent = block.header.hash;
        let sealed = batch.add(&block.header);
        if number == 0 {
            let mut batch = sealed.expect("genesis is a batch");
            let config: GenesisConfig = ask(main_node, "en_genesisConfig", json!([]));
            batch.header.next_leaf_index = LeafIndex(config.rollup_last_leaf_index);
            // Nothing wrote to the tree over all chains before or after.
            let slot = aggregation_root_slot(B256::ZERO).hashed_key();
            let block = BlockRecord { state: vec![(slot, results.aggregation_root)], ..block };
            let identity = identity(main_node);
            let genesis = Genesis { identity, block, batch };
            writers.chain.persist_genesis(&genesis, WriteSet::new()).unwrap();
        } else {
            writers.chain.persist_block(&block, sealed.as_ref()).unwrap();
            if let Some(sealed) = sealed {
                persist_progress(writers, main_node, sealed.header.number);
            }
        }
    }
}

fn ask<T: DeserializeOwned>(main_node: &MainNodeRecording, method: &str, params: Value) -> T {
    let answer = main_node.answer(method, &params);
    answer.unwrap_or_else(|| panic!("{method} {params} is not recorded")).parse()
}

fn identity(main_node: &MainNodeRecording) -> ChainIdentity {
    let config: GenesisConfig = ask(main_node, "en_genesisConfig", json!([]));
    ChainIdentity {
        l2_chain_id: ChainId(config.l2_chain_id),
        l1_chain_id: ChainId(config.l1_chain_id),
        genesis_root: StateRoot(config.genesis_root_hash),
        genesis_commitment: Commitment(config.genesis_commitment),
    }
}

fn persist_progress(writers: &mut Writers, main_node: &MainNodeRecording, number: L1BatchNumber) {
    let details: zks::L1BatchDetails = ask(main_node, "zks_getL1BatchDetails", json!([number.0]));
    let base = details.base;
    let root = base.root_hash.map(StateRoot);
    let claim = BatchClaim { number, root, commitment: details.commitment.map(Commitment) };
    writers.claims.persist(&[claim], None).unwrap();
    let step = |tx_hash: Option<B256>, at: Option<String>, chain: Option<u64>, finality| {
        tx_hash.map(|tx_hash| StepTx {
            tx_hash,
            at: at.unwrap(),
            chain_id: ChainId(chain.unwrap()),
            finality: match finality {
                Some(zks::TxFinality::Finalized) => Finality::Finalized,
                Some(zks::TxFinality::FastFinalized) => Finality::FastFinalized,
                Some(zks::TxFinality::Pending) | None => Finality::Pending,
            },
        })
    };
    let steps = BatchSteps {
        commit: step(
            base.commit_tx_hash,
            base.committed_at,
            base.commit_chain_id,
            base.commit_tx_finality,
        ),
        prove: step(
            base.prove_tx_hash,
            base.proven_at,
            base.prove_chain_id,
            base.prove_tx_finality,
        ),
        execute: step(
            base.execute_tx_hash,
            base.executed_at,
            base.execute_chain_id,
            base.execute_tx_finality,
        ),
    };
    writers.steps.persist(&[(number, steps)]).unwrap();
}

/// Says of every batch that it was executed on L1.
pub(super) fn execute_all(writers: &mut Writers, views: &Views) {
    let view = views.now();
    let chain_id = view.identity().unwrap().unwrap().l1_chain_id;
    let sealed = view.sealed_batch().unwrap().unwrap();
    for number in (1..=sealed.0).map(L1BatchNumber) {
        let finality = Finality::Finalized;
        let execute = StepTx { tx_hash: B256::ZERO, at: String::new(), chain_id, finality };
        let steps = BatchSteps { execute: Some(execute), ..view.steps(number).unwrap() };
        writers.steps.persist(&[(number, steps)]).unwrap();
    }
}

/// What running the blocks gave, as the reference node tells it.
struct Results {
    main_node: MainNodeRecording,
    /// Of some transactions.
    receipts: BTreeMap<B256, eth::Receipt>,
    /// Of all transactions, by their hashes.
    events: BTreeMap<B256, Vec<Event>>,
    /// Of fictive blocks, by their numbers.
    own_events: BTreeMap<u64, Vec<Event>>,
    /// Of the tree over all chains, the same in all batches.
    aggregation_root: B256,
}

impl Results {
    fn of(recording: &Recording) -> Self {
        let mut receipts = BTreeMap::new();
        let mut logs: Vec<eth::Log> = Vec::new();
        let mut aggregation_root = B256::ZERO;
        for golden in recording.golden_api() {
            match golden.method.as_str() {
                "eth_getTransactionReceipt" => {
                    let receipt: Option<eth::Receipt> = golden.answer.parse();
                    receipts.extend(receipt.map(|receipt| (receipt.transaction_hash, receipt)));
                }
                "eth_getBlockReceipts" => {
                    let all: Vec<eth::Receipt> = golden.answer.parse();
                    let all = all.into_iter();
                    receipts.extend(all.map(|receipt| (receipt.transaction_hash, receipt)));
                }
                "zks_getL2ToL1LogProof" => {
                    let proof: zks::L2ToL1LogProof = golden.answer.parse();
                    aggregation_root = *proof.proof.last().unwrap();
                }
                // The first one asks for everything.
                "eth_getLogs" if logs.is_empty() => logs = golden.answer.parse(),
                _ => {}
            }
        }
        assert!(!receipts.is_empty() && !logs.is_empty());
        let main_node = recording.main_node();
        let (mut events, mut own_events) = (BTreeMap::new(), BTreeMap::new());
        for log in logs {
            let (hash, block) = (log.transaction_hash.unwrap(), log.block_number.unwrap());
            let of: &mut Vec<Event> = if hash.is_zero() {
                own_events.entry(block).or_default()
            } else {
                events.entry(hash).or_default()
            };
            of.push(Event { address: log.address, topics: log.topics, data: log.data });
        }
        Self { main_node, receipts, events, own_events, aggregation_root }
    }

    fn block(
        &self,
        parts: SyncBlockParts,
        shown: &eth::Block,
        parent: L2BlockHash,
        first_tx_index_in_batch: u32,
    ) -> BlockRecord {
        let transactions = parts.transactions.unwrap();
        let base_fee_per_gas = shown.base_fee_per_gas.to();
        let in_batch = u16::try_from(first_tx_index_in_batch).unwrap()..;
        let with_receipt = |(tx, index)| self.receipt(tx, base_fee_per_gas, index);
        let mut receipts: Vec<Receipt> =
            transactions.iter().zip(in_batch).map(with_receipt).collect();
        let gas_used = |(tx, receipt): (&Transaction, &Receipt)| {
            tx.gas_limit().to::<u64>() - receipt.gas_refunded
        };
        let gas_used = transactions.iter().zip(&receipts).map(gas_used).sum();
        if parts.params.is_fictive {
            let number = u64::from(parts.params.number.0);
            receipts.push(own_receipt(self.own_events.get(&number)));
        }
        let mut event_count = 0;
        for receipt in &mut receipts {
            receipt.first_event_index = event_count;
            event_count += count(&receipt.events);
        }
        let l1_tx_count = transactions.iter().filter(|tx| tx.is_priority()).count();
        let l1_tx_count = u32::try_from(l1_tx_count).unwrap();
        let header = BlockHeader {
            params: parts.params,
            hash: parts.claimed_hash.unwrap(),
            parent,
            l1_tx_count,
            l2_tx_count: count(&transactions) - l1_tx_count,
            first_tx_index_in_batch,
            base_fee_per_gas,
            gas_per_pubdata_limit: 0,
            gas_limit: shown.gas_limit.to(),
            gas_used,
            logs_bloom: bloom_of(receipts.iter().flat_map(|receipt| &receipt.events)),
            event_count,
            l2_to_l1_log_count: receipts.iter().map(|receipt| count(&receipt.l2_to_l1_logs)).sum(),
        };
        BlockRecord { header, transactions, receipts, state: Vec::new(), bytecodes: Vec::new() }
    }

    /// From the receipt if that was recorded, otherwise from what else was.
    fn receipt(&self, tx: &Transaction, base_fee_per_gas: u64, index: u16) -> Receipt {
        let hash = tx.hash().0;
        let own = own_receipt(self.events.get(&hash));
        if let Some(shown) = self.receipts.get(&hash) {
            let is_success = shown.status == 1;
            let first = shown.l2_to_l1_logs.first();
            return Receipt {
                status: status(is_success),
                gas_refunded: (tx.gas_limit() - shown.gas_used).to(),
                contract_address: shown.contract_address,
                first_l2_to_l1_log_index: first.map_or(0, |log| log.log_index.try_into().unwrap()),
                l2_to_l1_logs: shown.l2_to_l1_logs.iter().map(log).collect(),
                ..own
            };
        }
        let details: zks::TransactionDetails =
            ask(&self.main_node, "zks_getTransactionDetails", json!([hash]));
        let gas_used = details.fee / tx.effective_gas_price(base_fee_per_gas);
        Receipt {
            status: status(details.status != zks::TransactionStatus::Failed),
            gas_refunded: (tx.gas_limit() - gas_used).to(),
            l2_to_l1_logs: logs_for_l1(tx, &own.events, index),
            ..own
        }
    }
}

/// What a transaction that succeeded sent to L1: the bootloader says so of each from L1, and the
/// messenger sends the hashes of messages.
fn logs_for_l1(tx: &Transaction, events: &[Event], tx_index_in_batch: u16) -> Vec<L2ToL1Log> {
    let log = |sender, key, value| L2ToL1Log {
        shard_id: 0,
        is_service: true,
        tx_index_in_batch,
        sender,
        key,
        value,
    };
    let messages = events.iter().filter_map(|event| match event.topics.as_slice() {
        [_, from, hash] if event.address == L1_MESSENGER => Some(log(L1_MESSENGER, *from, *hash)),
        _ => None,
    });
    let from_l1 = !matches!(tx.common, TxCommon::L2(_));
    let done = from_l1.then(|| log(BOOTLOADER, tx.hash().0, B256::with_last_byte(1)));
    messages.chain(done).collect()
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap()
}

fn status(is_success: bool) -> TxStatus {
    if is_success { TxStatus::Success } else { TxStatus::Reverted { reason: String::new() } }
}

fn log(log: &eth::L2ToL1Log) -> L2ToL1Log {
    L2ToL1Log {
        shard_id: u8::try_from(log.shard_id).unwrap(),
        is_service: log.is_service,
        tx_index_in_batch: u16::try_from(log.tx_index_in_l1_batch.unwrap()).unwrap(),
        sender: log.sender,
        key: log.key,
        value: log.value,
    }
}

/// The part of a receipt that follows from the events.
fn own_receipt(events: Option<&Vec<Event>>) -> Receipt {
    Receipt {
        status: TxStatus::Success,
        gas_refunded: 0,
        contract_address: None,
        first_event_index: 0,
        events: events.cloned().unwrap_or_default(),
        first_l2_to_l1_log_index: 0,
        l2_to_l1_logs: Vec::new(),
    }
}

/// Counts the blocks of a batch until its last one.
#[derive(Default)]
struct OpenBatch {
    first: Option<BlockHeader>,
    tx_count: u32,
    l1_tx_count: u32,
}

impl OpenBatch {
    fn add(&mut self, block: &BlockHeader) -> Option<BatchRecord> {
        self.first.get_or_insert_with(|| block.clone());
        self.tx_count += block.tx_count();
        self.l1_tx_count += block.l1_tx_count;
        let is_last = block.params.is_fictive || block.params.number == L2BlockNumber(0);
        if !is_last {
            return None;
        }
        let Self { first, tx_count, l1_tx_count } = std::mem::take(self);
        let first = first.unwrap().params;
        let header = BatchHeader {
            number: first.batch,
            timestamp: first.timestamp,
            version: first.version,
            first_block: first.number,
            last_block: block.params.number,
            l1_tx_count,
            l2_tx_count: tx_count - l1_tx_count,
            next_leaf_index: LeafIndex(1),
            priority_ops_hash: B256::ZERO,
        };
        Some(BatchRecord {
            header,
            writes: Vec::new(),
            first_new_index: LeafIndex(1),
            commitment_inputs: CommitmentInputs::default(),
        })
    }
}
