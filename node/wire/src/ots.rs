//! The `ots_*` methods, by which Otterscan asks for what an explorer shows.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Serialize;

use crate::{
    eth::{Header, Receipt, Transaction},
    quantity,
};

/// Something that happened inside a transaction, apart from ordinary calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InternalOperation {
    /// 0 for a transfer of the base token, 2 for a new contract.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Who did it.
    pub from: Address,
    /// Who received the token, or the new contract.
    pub to: Address,
    /// How much.
    pub value: U256,
}

impl InternalOperation {
    /// [`kind`](Self::kind) of a transfer.
    pub const TRANSFER: u8 = 0;
    /// [`kind`](Self::kind) of the making of a contract.
    pub const CREATE: u8 = 2;
}

/// A call of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceEntry {
    /// `CALL`, `DELEGATECALL` or `CREATE`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Number of calls around it.
    pub depth: u32,
    /// Who called.
    pub from: Address,
    /// Who was called.
    pub to: Address,
    /// Base token sent along; absent for delegate calls.
    pub value: Option<U256>,
    /// Input.
    pub input: Bytes,
    /// What came back.
    pub output: Bytes,
}

/// A block without what is long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockDetails {
    /// The block.
    pub block: BlockSummary,
    /// All fees of its transactions, wei.
    #[serde(rename = "totalFees")]
    pub total_fees: U256,
    /// What is newly made with a block: nothing.
    pub issuance: Issuance,
}

/// A block's header with the number of its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockSummary {
    /// The header.
    #[serde(flatten)]
    pub header: Header,
    /// Number of transactions.
    #[serde(rename = "transactionCount", with = "quantity")]
    pub transaction_count: u32,
    /// Zero.
    pub size: U256,
    /// Zero.
    #[serde(rename = "totalDifficulty")]
    pub total_difficulty: U256,
    /// Empty.
    pub uncles: Vec<B256>,
}

/// What is newly made with a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issuance {
    /// Zero.
    pub block_reward: U256,
    /// Zero.
    pub uncle_reward: U256,
    /// Zero.
    pub issuance: U256,
}

/// A page of a block's transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockTransactionsPage {
    /// The block, with the transactions of the page.
    pub fullblock: FullBlock,
    /// Their receipts.
    pub receipts: Vec<PageReceipt>,
}

/// A block with some of its transactions, of whose input only the first four bytes are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FullBlock {
    /// The block.
    #[serde(flatten)]
    pub summary: BlockSummary,
    /// Those of the page.
    pub transactions: Vec<Transaction>,
}

/// A receipt with when the block was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageReceipt {
    /// The receipt.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// Seconds since the Unix epoch, a plain number.
    pub timestamp: u64,
}

/// Transactions that have to do with an account, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransactionsPage {
    /// Transactions.
    pub txs: Vec<Transaction>,
    /// Their receipts.
    pub receipts: Vec<PageReceipt>,
    /// Whether there are no newer ones.
    #[serde(rename = "firstPage")]
    pub is_first: bool,
    /// Whether there are no older ones.
    #[serde(rename = "lastPage")]
    pub is_last: bool,
}

/// Who made a contract, and by which transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ContractCreator {
    /// The transaction.
    pub hash: B256,
    /// Who made it.
    pub creator: Address,
}
