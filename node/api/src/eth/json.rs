//! From what is stored to what the Ethereum API shows.

use lockstep_types::{
    B256, BlockHeader, Bytes, ChainId, L1BatchNumber, L2Common, Receipt, Transaction, TxCommon,
    TxStatus, TxType, U256, log::bloom_of,
};
use lockstep_wire::eth;

use crate::{call::Call, error::ApiResult};

/// A block with what its parts are shown with.
#[derive(Debug)]
pub(crate) struct BlockInfo {
    /// Of the block.
    pub(crate) header: BlockHeader,
    /// The batch, once it is sealed.
    batch: Option<L1BatchNumber>,
}

/// A place for a transaction's parts in its block. The fictive block's own share has the place of
/// no transaction: index 0 and the zero hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxPlace {
    /// Index in the block.
    pub(crate) index: u32,
    /// Hash of the transaction.
    pub(crate) hash: B256,
}

impl TxPlace {
    /// Of what the block itself emitted.
    pub(crate) const FICTIVE: Self = Self { index: 0, hash: B256::ZERO };
}

impl BlockInfo {
    /// The block of `header`, as `call` sees it.
    pub(crate) fn new(call: &Call, header: BlockHeader) -> ApiResult<Self> {
        let batch = header.params.batch;
        let is_sealed = call.view.sealed_batch()?.is_some_and(|sealed| batch <= sealed);
        Ok(Self { header, batch: is_sealed.then_some(batch) })
    }

    /// The block, with `transactions` as given.
    pub(crate) fn block(
        &self,
        transactions: eth::BlockTransactions,
        batch_timestamp: Option<u64>,
    ) -> eth::Block {
        let header = &self.header;
        eth::Block {
            hash: header.hash.0,
            parent_hash: header.parent.0,
            sha3_uncles: eth::Block::NO_UNCLES,
            miner: Default::default(),
            state_root: B256::ZERO,
            transactions_root: B256::ZERO,
            receipts_root: B256::ZERO,
            number: self.number(),
            l1_batch_number: self.batch_number(),
            gas_used: U256::from(header.gas_used),
            gas_limit: U256::from(header.gas_limit),
            base_fee_per_gas: U256::from(header.base_fee_per_gas),
            extra_data: Bytes::new(),
            logs_bloom: header.logs_bloom,
            timestamp: header.params.timestamp.0,
            l1_batch_timestamp: batch_timestamp,
            difficulty: U256::ZERO,
            total_difficulty: U256::ZERO,
            seal_fields: Vec::new(),
            uncles: Vec::new(),
            transactions,
            size: U256::ZERO,
            mix_hash: B256::ZERO,
            nonce: Default::default(),
        }
    }

    /// The batch, once it is sealed.
    pub(crate) fn sealed_batch(&self) -> Option<L1BatchNumber> {
        self.batch
    }

    /// A transaction of the block.
    pub(crate) fn transaction(
        &self,
        tx: &Transaction,
        index: u32,
        chain_id: ChainId,
    ) -> eth::Transaction {
        eth::Transaction {
            block_hash: Some(self.header.hash.0),
            block_number: Some(self.number()),
            transaction_index: Some(u64::from(index)),
            gas_price: Some(self.shown_gas_price(tx)),
            l1_batch_number: self.batch_number(),
            l1_batch_tx_index: self.index_in_batch(index),
            ..waiting_transaction(tx, chain_id)
        }
    }

    /// The receipt of a transaction.
    pub(crate) fn receipt(&self, tx: &Transaction, receipt: &Receipt, index: u32) -> eth::Receipt {
        let place = TxPlace { index, hash: tx.hash().0 };
        let refunded = U256::from(receipt.gas_refunded);
        eth::Receipt {
            transaction_hash: place.hash,
            transaction_index: u64::from(index),
            block_hash: self.header.hash.0,
            block_number: self.number(),
            l1_batch_tx_index: self.index_in_batch(index),
            l1_batch_number: self.batch_number(),
            from: tx.initiator(),
            to: tx.execute.to,
            cumulative_gas_used: U256::ZERO,
            gas_used: tx.gas_limit().saturating_sub(refunded),
            contract_address: receipt.contract_address,
            logs: self.logs(receipt, place).collect(),
            l2_to_l1_logs: self.l2_to_l1_logs(receipt, place).collect(),
            status: match receipt.status {
                TxStatus::Success => 1,
                TxStatus::Reverted { .. } => 0,
            },
            logs_bloom: bloom_of(&receipt.events),
            transaction_type: u64::from(tx.type_byte()),
            effective_gas_price: tx.effective_gas_price(self.header.base_fee_per_gas),
        }
    }

    /// The events of a receipt.
    pub(crate) fn logs(&self, receipt: &Receipt, place: TxPlace) -> impl Iterator<Item = eth::Log> {
        let in_block = u64::from(receipt.first_event_index)..;
        (0..).zip(in_block).zip(&receipt.events).map(move |((in_tx, in_block), event)| eth::Log {
            address: event.address,
            topics: event.topics.clone(),
            data: event.data.clone(),
            block_hash: Some(self.header.hash.0),
            block_number: Some(self.number()),
            l1_batch_number: self.batch_number(),
            transaction_hash: Some(place.hash),
            transaction_index: Some(u64::from(place.index)),
            log_index: Some(in_block),
            transaction_log_index: Some(in_tx),
            log_type: None,
            removed: Some(false),
            block_timestamp: Some(self.header.params.timestamp.0),
        })
    }

    fn l2_to_l1_logs(
        &self,
        receipt: &Receipt,
        place: TxPlace,
    ) -> impl Iterator<Item = eth::L2ToL1Log> {
        let in_block = u64::from(receipt.first_l2_to_l1_log_index)..;
        (0..).zip(in_block).zip(&receipt.l2_to_l1_logs).map(move |((in_tx, in_block), log)| {
            eth::L2ToL1Log {
                block_hash: Some(self.header.hash.0),
                block_number: self.number(),
                l1_batch_number: self.batch_number(),
                log_index: in_block,
                transaction_index: u64::from(place.index),
                transaction_hash: place.hash,
                transaction_log_index: in_tx,
                tx_index_in_l1_batch: Some(u64::from(log.tx_index_in_batch)),
                shard_id: u64::from(log.shard_id),
                is_service: log.is_service,
                sender: log.sender,
                key: log.key,
                value: log.value,
            }
        })
    }

    fn number(&self) -> u64 {
        u64::from(self.header.params.number.0)
    }

    fn batch_number(&self) -> Option<u64> {
        self.batch.map(|batch| u64::from(batch.0))
    }

    /// Index in the batch of a transaction of this block; shown once the batch is sealed.
    fn index_in_batch(&self, index: u32) -> Option<u64> {
        let in_batch = u64::from(self.header.first_tx_index_in_batch) + u64::from(index);
        self.batch.map(|_sealed| in_batch)
    }

    /// What `tx` promised where its envelope names one price, otherwise what it paid.
    fn shown_gas_price(&self, tx: &Transaction) -> U256 {
        match &tx.common {
            TxCommon::L2(common) if matches!(common.tx_type, TxType::Legacy | TxType::Eip2930) => {
                common.fee.max_fee_per_gas
            }
            TxCommon::L2(_) | TxCommon::Priority(_) | TxCommon::Upgrade(_) => {
                tx.effective_gas_price(self.header.base_fee_per_gas)
            }
        }
    }
}

/// A transaction that is in no block yet.
pub(crate) fn waiting_transaction(tx: &Transaction, chain_id: ChainId) -> eth::Transaction {
    let (nonce, tip, signature) = match &tx.common {
        TxCommon::L2(common) => {
            let tip = common.fee.max_priority_fee_per_gas;
            (U256::from(common.nonce), tip, signature(common, chain_id))
        }
        TxCommon::Priority(_) | TxCommon::Upgrade(_) => {
            (U256::ZERO, U256::ZERO, eth::Signature::default())
        }
    };
    eth::Transaction {
        hash: tx.hash().0,
        nonce,
        block_hash: None,
        block_number: None,
        transaction_index: None,
        from: Some(tx.initiator()),
        to: tx.execute.to,
        value: tx.execute.value,
        gas_price: Some(tx.max_fee_per_gas()),
        gas: tx.gas_limit(),
        input: tx.execute.calldata.clone(),
        signature,
        transaction_type: Some(u64::from(tx.type_byte())),
        max_fee_per_gas: Some(tx.max_fee_per_gas()),
        max_priority_fee_per_gas: Some(tip),
        chain_id: U256::from(chain_id.0),
        l1_batch_number: None,
        l1_batch_tx_index: None,
    }
}

/// The parts of a 65-byte signature; nothing of a signature that only its own account can read.
fn signature(common: &L2Common, chain_id: ChainId) -> eth::Signature {
    let Ok(bytes) = <&[u8; 65]>::try_from(common.signature.as_ref()) else {
        return eth::Signature::default();
    };
    // Written as 27 and 28 or as 0 and 1.
    let parity = u64::from(bytes[64].checked_sub(27).unwrap_or(bytes[64]));
    let (y_parity, v) = match common.tx_type {
        TxType::Legacy => (None, chain_id.0.saturating_mul(2).saturating_add(35 + parity)),
        TxType::Eip2930 | TxType::Eip1559 | TxType::Eip712 => (Some(parity), parity),
    };
    eth::Signature {
        y_parity,
        v: Some(v),
        r: Some(U256::from_be_slice(&bytes[..32])),
        s: Some(U256::from_be_slice(&bytes[32..64])),
    }
}
