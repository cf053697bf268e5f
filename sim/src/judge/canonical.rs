//! S1 and S7: every stored block is the block of its hash, with everything that running it gives,
//! and nothing of what a lie said is among it.

use lockstep_store::{StoredBytecode, codec::decode, tables};
use lockstep_types::{
    B256, BlockHeader, BytecodeHash, L1BatchNumber, L2BlockNumber, Receipt, Transaction, TxCommon,
    TxStatus, log::bloom_of,
};

use super::{
    Violation,
    found::{Found, Place, unreadable},
};
use crate::model::{Batch, Block, Chain, Detectable, Model};

/// Compares all blocks and batches, and the state after the newest block.
pub(super) fn check(
    found: &Found,
    place: &Place,
    model: &Model,
) -> Result<Vec<Violation>, Violation> {
    let chain = model.chain();
    // With lies about, what is wrong was believed; otherwise it was made here.
    let was_lied_to = model.told().iter().any(|lie| lie.detectable() != Detectable::ByOthers);
    let invariant = if was_lied_to { "S7" } else { "S1" };
    let differs = |key: &str, detail: String| Violation::new(invariant, key, detail);
    for number in 1..=place.head {
        let golden = place.block(chain, number).ok_or_else(|| {
            differs("unknown block", format!("block {number} is beyond its branch"))
        })?;
        if let Some((key, detail)) = block_difference(found, number, golden)? {
            return Ok(vec![differs(key, format!("block {number}: {detail}"))]);
        }
    }
    for number in 1..=place.sealed(chain) {
        let id = place.batch(number).expect("complete batches are on the branch");
        if let Some((key, detail)) = batch_difference(found, chain, chain.batch(id))? {
            return Ok(vec![differs(key, format!("batch {number}: {detail}"))]);
        }
    }
    for row in found.view.dump(tables::BYTECODES) {
        let (key, value) = row.map_err(unreadable)?;
        let stored: Option<StoredBytecode> = decode(&value).ok();
        let hash = BytecodeHash(B256::from_slice(&key));
        if !stored.is_some_and(|stored| hash.is_of(&stored.code)) {
            return Ok(vec![Violation::new("S7", "bytecode", format!("{hash} has other code"))]);
        }
    }
    for (slot, value) in place.slots(chain) {
        let stored = found.view.slot_at(&slot, L2BlockNumber(place.head)).map_err(unreadable)?;
        if stored != value {
            let detail = format!("{slot:?} is {stored}, and {value} after block {}", place.head);
            return Ok(vec![differs("state", detail)]);
        }
    }
    Ok(Vec::new())
}

type Difference = Option<(&'static str, String)>;

fn block_difference(found: &Found, number: u32, golden: &Block) -> Result<Difference, Violation> {
    let number = L2BlockNumber(number);
    let view = &found.view;
    let Some(header) = view.block(number).map_err(unreadable)? else {
        return Ok(Some(("block", "it is missing".to_owned())));
    };
    if let Some(difference) = header_difference(&header, golden) {
        return Ok(Some(("header", difference)));
    }
    let txs = view.transactions(number).map_err(unreadable)?;
    let plain = |txs: &[Transaction]| txs.iter().map(without_information).collect::<Vec<_>>();
    if plain(&txs) != plain(&golden.txs) {
        return Ok(Some(("transactions", format!("{txs:?} instead of {:?}", golden.txs))));
    }
    let receipts = view.receipts(number).map_err(unreadable)?;
    Ok(receipts_difference(&receipts, golden).map(|detail| ("receipts", detail)))
}

/// Nothing binds when a transaction was seen, and where on L1 it was asked for.
fn without_information(tx: &Transaction) -> Transaction {
    let mut tx = tx.clone();
    tx.received_at_ms = 0;
    match &mut tx.common {
        TxCommon::Priority(common) => {
            common.eth_block = 0;
            common.obsolete = Default::default();
        }
        TxCommon::Upgrade(common) => (common.eth_block, common.eth_hash) = Default::default(),
        TxCommon::L2(_) => {}
    }
    tx
}

fn header_difference(header: &BlockHeader, golden: &Block) -> Option<String> {
    let gas = |(tx, refunded): (&Transaction, u64)| {
        u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX).saturating_sub(refunded)
    };
    let refunds = golden.outcomes.iter().map(|outcome| outcome.gas_refunded);
    let gas_used: u64 = golden.txs.iter().zip(refunds).map(gas).sum();
    let events = || golden.outcomes.iter().flat_map(|one| &one.events).chain(&golden.tip_events);
    let l1_txs = golden.txs.iter().filter(|tx| tx.is_priority()).count();
    let is_count = |stored: u32, golden: usize| usize::try_from(stored) == Ok(golden);
    let parts = [
        ("params", header.params == golden.params),
        ("hash", header.hash == golden.hash),
        ("parent", header.parent == golden.parent),
        ("l1_tx_count", is_count(header.l1_tx_count, l1_txs)),
        ("tx_count", is_count(header.tx_count(), golden.txs.len())),
        ("gas_used", header.gas_used == gas_used),
        ("event_count", is_count(header.event_count, events().count())),
        ("logs_bloom", header.logs_bloom == bloom_of(events())),
    ];
    let (part, _) = parts.into_iter().find(|(_, is_same)| !is_same)?;
    Some(format!("{part} differs: {header:?} instead of {:?}", golden.params))
}

fn receipts_difference(receipts: &[Receipt], golden: &Block) -> Option<String> {
    let is_fictive = golden.params.is_fictive;
    let expected = golden.outcomes.len() + usize::from(is_fictive);
    if receipts.len() != expected {
        return Some(format!("{} receipts instead of {expected}", receipts.len()));
    }
    let mut first_event = 0;
    for (index, receipt) in receipts.iter().enumerate() {
        let is_same = match golden.outcomes.get(index) {
            Some(outcome) => {
                receipt.status == outcome.status
                    && receipt.gas_refunded == outcome.gas_refunded
                    && receipt.events == outcome.events
                    && receipt.l2_to_l1_logs == outcome.l2_to_l1_logs
            }
            None => {
                receipt.status == TxStatus::Success
                    && receipt.events == golden.tip_events
                    && receipt.l2_to_l1_logs == golden.tip_logs
            }
        };
        if !is_same || receipt.first_event_index != first_event {
            let golden = golden.outcomes.get(index);
            return Some(format!("receipt {index} is {receipt:?} instead of {golden:?}"));
        }
        first_event += u32::try_from(receipt.events.len()).unwrap_or(u32::MAX);
    }
    None
}

fn batch_difference(found: &Found, chain: &Chain, golden: &Batch) -> Result<Difference, Violation> {
    let number = L1BatchNumber(golden.number);
    let Some(header) = found.view.batch(number).map_err(unreadable)? else {
        return Ok(Some(("batch", "it is missing".to_owned())));
    };
    let first = golden.blocks.first().map(|block| block.params.number);
    let last = golden.blocks.last().map(|block| block.params.number);
    let parts = [
        ("timestamp", header.timestamp.0 == golden.timestamp),
        ("first_block", Some(header.first_block) == first),
        ("last_block", Some(header.last_block) == last),
        ("l1_tx_count", header.l1_tx_count == golden.l1_tx_count),
        ("l2_tx_count", header.l2_tx_count == golden.l2_tx_count),
        ("next_leaf_index", header.next_leaf_index == golden.state.next_index()),
        (
            "version",
            golden.blocks.first().map(|block| block.params.version) == Some(header.version),
        ),
    ];
    if let Some((part, _)) = parts.into_iter().find(|(_, is_same)| !is_same) {
        return Ok(Some(("batch header", format!("{part} differs: {header:?}"))));
    }
    let parent_index = chain.next_index(golden.parent);
    if parent_index > header.next_leaf_index {
        return Ok(Some(("batch header", "leaf indices go back".to_owned())));
    }
    let root = lockstep_tree::root_of(found.view.raw(), number);
    let root = root.map_err(|error| Violation::new("S5", "tree", error.to_string()))?;
    Ok(match root {
        Some(stored) if stored.root != golden.root => {
            Some(("root", format!("{} instead of {}", stored.root, golden.root)))
        }
        Some(_) | None => None,
    })
}
