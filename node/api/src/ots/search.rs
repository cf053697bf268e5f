//! Transactions that have to do with an account.
//!
//! There is no index of them: blocks are looked at one after the other, up to [`BLOCKS_MAX`] for one
//! request. Calls that a contract makes are not looked into: an account that only they name, and no
//! event, is not found.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Address, BlockHeader, L2BlockNumber, Receipt, Transaction};
use lockstep_wire::ots::TransactionsPage;

use super::blocks::{Count, info_of, page_receipt, page_size};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

/// Most blocks that one request looks at.
const BLOCKS_MAX: usize = 20_000;

pub(super) fn register(methods: &mut Methods) {
    methods.add("ots_searchTransactionsBefore", |call, params| search(call, params, Way::Back));
    methods.add("ots_searchTransactionsAfter", |call, params| search(call, params, Way::Forth));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Back,
    Forth,
}

/// Newest first, in whole blocks: a page may be longer than asked for.
fn search(call: &Call, params: &mut ParamsSequence<'_>, way: Way) -> ApiResult<TransactionsPage> {
    let account: Address = params.next()?;
    let Count(block) = params.next()?;
    let Count(size) = params.next()?;
    let size = page_size(size)?;
    let head = call.head()?.0;
    // Block 0 stands for no bound.
    let block = u32::try_from(block).unwrap_or(u32::MAX);
    let blocks: Box<dyn Iterator<Item = u32>> = match way {
        Way::Back if block == 0 => Box::new((0..=head).rev()),
        Way::Back => Box::new((0..block.min(head + 1)).rev()),
        Way::Forth if block == 0 => Box::new(0..=head),
        Way::Forth => Box::new(block.saturating_add(1)..=head),
    };
    let mut found: Vec<(L2BlockNumber, Vec<Hit>)> = Vec::new();
    let mut count = 0;
    let mut is_exhausted = true;
    for (looked_at, number) in blocks.enumerate() {
        let number = L2BlockNumber(number);
        if count >= size {
            is_exhausted = false;
            break;
        }
        if looked_at == BLOCKS_MAX {
            if count > 0 {
                is_exhausted = false;
                break;
            }
            return Err(none_so_far(number, way));
        }
        let hits = hits_in(call, number, account)?;
        count += hits.len();
        if !hits.is_empty() {
            found.push((number, hits));
        }
    }
    if way == Way::Forth {
        found.reverse();
    }
    let has_bound = block != 0;
    page(
        call,
        &found,
        match way {
            Way::Back => [!has_bound, is_exhausted],
            Way::Forth => [is_exhausted, !has_bound],
        },
    )
}

fn none_so_far(number: L2BlockNumber, way: Way) -> ApiError {
    let from_here = match way {
        Way::Back => number.0 + 1,
        Way::Forth => number.0.saturating_sub(1),
    };
    ApiError::BadRequest(format!(
        "no transactions in the {BLOCKS_MAX} blocks that one request looks at: go on with block \
         {from_here}"
    ))
}

/// A transaction that has to do with the account.
#[derive(Debug)]
struct Hit {
    index: u32,
    tx: Transaction,
    receipt: Receipt,
}

/// The hits of a block, newest first.
fn hits_in(call: &Call, number: L2BlockNumber, account: Address) -> ApiResult<Vec<Hit>> {
    let header: BlockHeader = call.header(number)?;
    if header.tx_count() == 0 {
        return Ok(Vec::new());
    }
    let transactions = call.view.transactions(number)?;
    let receipts = call.view.receipts(number)?;
    let parts = (0..).zip(transactions.into_iter().zip(receipts));
    let mut hits: Vec<Hit> = parts
        .filter(|(_, (tx, receipt))| has_to_do(tx, receipt, account))
        .map(|(index, (tx, receipt))| Hit { index, tx, receipt })
        .collect();
    hits.reverse();
    Ok(hits)
}

/// Whether `account` sent it, was called or made by it, emitted an event in it or is named by one.
fn has_to_do(tx: &Transaction, receipt: &Receipt, account: Address) -> bool {
    let topic = account.into_word();
    tx.initiator() == account
        || tx.execute.to == Some(account)
        || receipt.contract_address == Some(account)
        || receipt
            .events
            .iter()
            .any(|event| event.address == account || event.topics.contains(&topic))
}

fn page(
    call: &Call,
    found: &[(L2BlockNumber, Vec<Hit>)],
    [is_first, is_last]: [bool; 2],
) -> ApiResult<TransactionsPage> {
    let chain_id = call.identity()?.l2_chain_id;
    let (mut txs, mut receipts) = (Vec::new(), Vec::new());
    for (number, hits) in found {
        let info = info_of(call, *number)?;
        for Hit { index, tx, receipt } in hits {
            txs.push(info.transaction(tx, *index, chain_id));
            receipts.push(page_receipt(&info, tx, receipt, *index));
        }
    }
    Ok(TransactionsPage { txs, receipts, is_first, is_last })
}
