//! Blocks: hashes, transactions and signatures as when they were fetched, receipts against headers,
//! headers against their batch, and the tables that lead back from hashes.

use lockstep_commitment::system_logs::SystemLog;
use lockstep_io::{Dir, KeyRange};
use lockstep_store::{ChainView, StoreFault, TxPosition, codec::decode, log_rows, tables};
use lockstep_types::{
    B256, BatchHeader, BlockHeader, ChainId, L1BatchNumber, L2BlockHash, L2BlockNumber, Receipt,
    Transaction, UnixSeconds,
    alloy_primitives::hex,
    block::{BlockHashInput, block_hash, legacy_block_hash},
    keccak256,
    log::bloom_of,
    status_hash,
};
use lockstep_wire::check_transaction;

use super::{Finding, VerifyError, needed};

/// What the blocks of a batch add up to.
struct Sums {
    first_block: L2BlockNumber,
    last_block: L2BlockNumber,
    timestamp: UnixSeconds,
    l1_tx_count: u32,
    l2_tx_count: u32,
    priority_ops_hash: B256,
    status_hash: B256,
}

/// Checks the blocks `first` to `last` of a batch, which are all of it or, if it is open, all that
/// there are; `None` if all is as it must be.
///
/// # Errors
///
/// [`VerifyError`] if rows are missing or cannot be read.
pub fn check_blocks(
    view: &ChainView,
    batch: L1BatchNumber,
    first: L2BlockNumber,
    last: L2BlockNumber,
    chain_id: ChainId,
) -> Result<Option<Finding>, VerifyError> {
    let found = |what: String| Ok(Some(Finding { batch, what }));
    let mut sums: Option<Sums> = None;
    for number in (first.0..=last.0).map(L2BlockNumber) {
        let header = header(view, number)?;
        let transactions = view.transactions(number)?;
        let receipts = view.receipts(number)?;
        let sums = sums.get_or_insert_with(|| Sums {
            first_block: number,
            last_block: number,
            timestamp: header.params.timestamp,
            l1_tx_count: 0,
            l2_tx_count: 0,
            priority_ops_hash: keccak256([]),
            status_hash: B256::ZERO,
        });
        sums.last_block = number;
        let wrong = place(view, &header, batch, number)?
            .or_else(|| transactions_differ(&transactions, chain_id))
            .map_or_else(|| positions(view, &header, &transactions), |wrong| Ok(Some(wrong)))?
            .or_else(|| hash(&header, &transactions))
            .or_else(|| receipts_differ(&header, &transactions, &receipts))
            .map_or_else(|| index_differs(view, number, &receipts), |wrong| Ok(Some(wrong)))?
            .or_else(|| add(sums, &header, &transactions, &receipts));
        if let Some(wrong) = wrong {
            return found(format!("block {number}: {wrong}"));
        }
    }
    match (view.batch(batch)?, sums) {
        (Some(header), Some(sums)) => {
            let told = told_status_hash(view, &header)?;
            match batch_differs(&header, &sums, told) {
                Some(wrong) => found(wrong),
                None => Ok(None),
            }
        }
        (None | Some(_), None | Some(_)) => Ok(None),
    }
}

fn header(view: &ChainView, number: L2BlockNumber) -> Result<BlockHeader, StoreFault> {
    needed(view.block(number)?, tables::BLOCKS, &number.0.to_be_bytes())
}

/// `what` with both values if they are not equal.
fn differs<T: PartialEq + std::fmt::Debug>(what: &str, is: T, must_be: T) -> Option<String> {
    (is != must_be).then(|| format!("{what} is {is:?} and must be {must_be:?}"))
}

fn place(
    view: &ChainView,
    header: &BlockHeader,
    batch: L1BatchNumber,
    number: L2BlockNumber,
) -> Result<Option<String>, StoreFault> {
    let parent = match number.prev() {
        Some(before) => self::header(view, before)?.hash,
        None => L2BlockHash::default(),
    };
    let by_hash = view.block_number(&header.hash)?;
    Ok(differs("its number", header.params.number, number)
        .or_else(|| differs("its batch", header.params.batch, batch))
        .or_else(|| differs("its parent", header.parent, parent))
        .or_else(|| differs("the number of its hash", by_hash, Some(number))))
}

fn hash(header: &BlockHeader, transactions: &[Transaction]) -> Option<String> {
    let params = &header.params;
    let tx_hashes: Vec<_> = transactions.iter().map(Transaction::hash).collect();
    let input = BlockHashInput {
        number: params.number,
        timestamp: params.timestamp,
        parent: header.parent,
        tx_hashes: &tx_hashes,
    };
    let computed = match params.number.prev() {
        Some(_) => block_hash(&input, params.version),
        None => legacy_block_hash(params.number),
    };
    differs("its hash", header.hash, computed)
}

/// As when they were fetched: fields, hash and signer of what was signed, or the canonical form.
fn transactions_differ(transactions: &[Transaction], chain_id: ChainId) -> Option<String> {
    transactions.iter().enumerate().find_map(|(index, tx)| {
        let mismatch = check_transaction(tx, chain_id).err()?;
        Some(format!("transaction {index}: {mismatch}"))
    })
}

fn positions(
    view: &ChainView,
    header: &BlockHeader,
    transactions: &[Transaction],
) -> Result<Option<String>, StoreFault> {
    let block = header.params.number;
    for (index, tx) in (0..).zip(transactions) {
        let stored = view.tx_position(&tx.hash())?;
        let wrong = differs("its position", stored, Some(TxPosition { block, index }));
        if let Some(wrong) = wrong {
            return Ok(Some(format!("transaction {}: {wrong}", tx.hash())));
        }
    }
    Ok(None)
}

fn receipts_differ(
    header: &BlockHeader,
    transactions: &[Transaction],
    receipts: &[Receipt],
) -> Option<String> {
    let own_share = usize::from(header.params.is_fictive);
    let wrong = differs("number of receipts", receipts.len(), transactions.len() + own_share);
    if wrong.is_some() {
        return wrong;
    }
    let (mut events, mut logs) = (0_u32, 0_u32);
    for (index, receipt) in receipts.iter().enumerate() {
        let first = (receipt.first_event_index, receipt.first_l2_to_l1_log_index);
        if let Some(wrong) = differs("its first indices", first, (events, logs)) {
            return Some(format!("receipt {index}: {wrong}"));
        }
        events = events.saturating_add(count(receipt.events.len()));
        logs = logs.saturating_add(count(receipt.l2_to_l1_logs.len()));
    }
    let gas_used = transactions.iter().zip(receipts).fold(0_u64, |sum, (tx, receipt)| {
        let limit = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
        sum.saturating_add(limit.saturating_sub(receipt.gas_refunded))
    });
    let bloom = bloom_of(receipts.iter().flat_map(|receipt| &receipt.events));
    differs("number of events", header.event_count, events)
        .or_else(|| differs("number of logs for L1", header.l2_to_l1_log_count, logs))
        .or_else(|| differs("gas used", header.gas_used, gas_used))
        .or_else(|| differs("its bloom", header.logs_bloom, bloom))
}

/// What the index of logs says of the block.
fn index_differs(
    view: &ChainView,
    number: L2BlockNumber,
    receipts: &[Receipt],
) -> Result<Option<String>, StoreFault> {
    for (key, row) in log_rows(number, receipts) {
        let stored = view.raw().get(tables::LOG_INDEX, &key)?;
        if stored.as_deref() != Some(&row[..]) {
            let (key, row) = (hex::encode(key), hex::encode(row));
            let stored = stored.map(hex::encode);
            let what = format!("row {key} of the index of logs");
            return Ok(differs(&what, stored, Some(row)));
        }
    }
    Ok(None)
}

/// Adds a block to its batch.
fn add(
    sums: &mut Sums,
    header: &BlockHeader,
    transactions: &[Transaction],
    receipts: &[Receipt],
) -> Option<String> {
    for (tx, receipt) in transactions.iter().zip(receipts) {
        sums.status_hash = status_hash(sums.status_hash, tx.hash(), &receipt.status);
    }
    let before = sums.l1_tx_count + sums.l2_tx_count;
    let priority = transactions.iter().filter(|tx| tx.is_priority());
    let mut l1_tx_count = 0;
    for tx in priority {
        l1_tx_count += 1;
        let link = [sums.priority_ops_hash.0, tx.hash().0.0].concat();
        sums.priority_ops_hash = keccak256(link);
    }
    let l2_tx_count = count(transactions.len()) - l1_tx_count;
    sums.l1_tx_count += l1_tx_count;
    sums.l2_tx_count += l2_tx_count;
    let (counts, must_be) = ((header.l1_tx_count, header.l2_tx_count), (l1_tx_count, l2_tx_count));
    differs("numbers of transactions", counts, must_be).or_else(|| {
        differs("index of its first transaction", header.first_tx_index_in_batch, before)
    })
}

/// The chain of hashes over how transactions ended, as the bootloader told it (from v29 on).
fn told_status_hash(view: &ChainView, header: &BatchHeader) -> Result<Option<B256>, StoreFault> {
    let inputs = view.commitment_inputs(header.number)?.unwrap_or_default();
    Ok(SystemLog::StatusHash.find(&inputs.system_logs, header.version))
}

/// `told` is what the bootloader told of how transactions ended, if it did.
fn batch_differs(header: &BatchHeader, sums: &Sums, told: Option<B256>) -> Option<String> {
    let blocks = (header.first_block, header.last_block);
    differs("its blocks", blocks, (sums.first_block, sums.last_block))
        .or_else(|| differs("its timestamp", header.timestamp, sums.timestamp))
        .or_else(|| {
            let counts = (header.l1_tx_count, header.l2_tx_count);
            differs("its transactions", counts, (sums.l1_tx_count, sums.l2_tx_count))
        })
        .or_else(|| {
            differs("priority operations", header.priority_ops_hash, sums.priority_ops_hash)
        })
        .or_else(|| {
            let told = told.unwrap_or(sums.status_hash);
            differs("the hash over how transactions ended", sums.status_hash, told)
        })
}

/// Checks the tables that lead from hashes to numbers and positions, and the index of logs: nothing
/// in them leads to something that is not there. `None` if all is as it must be. Reads them whole,
/// and all receipts.
///
/// # Errors
///
/// [`StoreFault`].
pub fn check_numbers(view: &ChainView) -> Result<Option<String>, StoreFault> {
    for row in view.raw().scan(tables::BLOCK_NUMBERS, KeyRange::all(), Dir::Up) {
        let (key, value) = row?;
        let number: L2BlockNumber = decode(&value)
            .map_err(|bad| StoreFault::corrupt(tables::BLOCK_NUMBERS, &key, bad.to_string()))?;
        let hash = view.block(number)?.map(|header| header.hash);
        if hash.is_none_or(|hash| hash.bytes()[..] != key[..]) {
            let table = tables::BLOCK_NUMBERS.name;
            return Ok(Some(format!(
                "table {table}: block {number} has hash {hash:?}, not the key"
            )));
        }
    }
    for row in view.raw().scan(tables::TX_POSITIONS, KeyRange::all(), Dir::Up) {
        let (key, value) = row?;
        let position: TxPosition = decode(&value)
            .map_err(|bad| StoreFault::corrupt(tables::TX_POSITIONS, &key, bad.to_string()))?;
        let hash = view.transaction(position)?.map(|tx| tx.hash());
        if hash.is_none_or(|hash| hash.bytes()[..] != key[..]) {
            let (table, block, index) = (tables::TX_POSITIONS.name, position.block, position.index);
            return Ok(Some(format!(
                "table {table}: transaction {index} of block {block} has hash {hash:?}, not the key"
            )));
        }
    }
    check_log_rows(view)
}

/// That the index of logs has no more rows than the receipts give it; which those are is checked
/// with the blocks.
fn check_log_rows(view: &ChainView) -> Result<Option<String>, StoreFault> {
    let Some(head) = view.head()? else { return Ok(None) };
    let (mut rows, mut must_be) = (0_u64, 0_u64);
    for row in view.raw().scan(tables::LOG_INDEX, KeyRange::all(), Dir::Up) {
        row?;
        rows += 1;
    }
    for number in (0..=head.0).map(L2BlockNumber) {
        must_be += u64::from(count(log_rows(number, &view.receipts(number)?).len()));
    }
    Ok(differs("number of rows of the index of logs", rows, must_be))
}

/// Counts in a block fit in 32 bits; more is found to differ.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
