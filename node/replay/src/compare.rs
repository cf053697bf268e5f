//! Comparing what a transaction left with what is stored of it.

use lockstep_store::{ChainView, StoreFault, tables};
use lockstep_types::{
    Event, L2BlockNumber, L2ToL1Log, Receipt, Transaction, TxHash, TxOutcome, TxStatus,
};

use crate::error::{Difference, ReplayError};

/// The transactions of a block with their receipts, and after them the fictive block's own.
#[derive(Debug)]
pub(crate) struct StoredBlock {
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) receipts: Vec<Receipt>,
}

impl StoredBlock {
    pub(crate) fn load(view: &ChainView, number: L2BlockNumber) -> Result<Self, StoreFault> {
        let transactions = view.transactions(number)?;
        let receipts = view.receipts(number)?;
        if receipts.len() < transactions.len() {
            let key = number.0.to_be_bytes();
            return Err(StoreFault::corrupt(tables::RECEIPTS, &key, "a receipt is missing"));
        }
        Ok(Self { transactions, receipts })
    }
}

/// What a receipt says apart from what follows from other transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left<'a> {
    pub(crate) status: &'a TxStatus,
    pub(crate) gas_refunded: u64,
    pub(crate) events: &'a [Event],
    pub(crate) l2_to_l1_logs: &'a [L2ToL1Log],
}

impl<'a> From<&'a TxOutcome> for Left<'a> {
    fn from(outcome: &'a TxOutcome) -> Self {
        Self {
            status: &outcome.status,
            gas_refunded: outcome.gas_refunded,
            events: &outcome.events,
            l2_to_l1_logs: &outcome.l2_to_l1_logs,
        }
    }
}

impl Left<'_> {
    /// Compares with what is stored of `tx`, or of the fictive block itself.
    pub(crate) fn check(
        &self,
        block: L2BlockNumber,
        tx: Option<TxHash>,
        stored: &Receipt,
    ) -> Result<(), ReplayError> {
        Difference::check(block, tx, "status", self.status, &stored.status)?;
        Difference::check(block, tx, "refunded gas", &self.gas_refunded, &stored.gas_refunded)?;
        Difference::check_list(block, tx, "events", self.events, &stored.events)?;
        let stored_logs = &stored.l2_to_l1_logs;
        Difference::check_list(block, tx, "logs for L1", self.l2_to_l1_logs, stored_logs)?;
        Ok(())
    }
}
