//! Accounts and how they came about.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_store::TxPosition;
use lockstep_types::{
    Address, B256, L2BlockNumber, Receipt, StorageSlot, Transaction, TxCommon, U256,
    address::CONTRACT_DEPLOYER, alloy_primitives::b256, storage::Nonces,
};
use lockstep_wire::{eth::BlockId, ots::ContractCreator};
use serde::Deserialize;

use super::blocks::Count;
use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

/// `ContractDeployed(address deployerAddress, bytes32 bytecodeHash, address contractAddress)`, all
/// of them topics.
const CONTRACT_DEPLOYED: B256 =
    b256!("290afdae231a3fc0bbae8b1af63698b0a1d79b21ad17df0342dfb952fe74f8e5");

pub(super) fn register(methods: &mut Methods) {
    methods.add("ots_hasCode", |call, params| {
        let account: Address = params.next()?;
        let id: Option<Place> = params.optional_next()?;
        let block = call.state_block(id.map(BlockId::from))?;
        has_code(call, account, block)
    });
    methods.add("ots_getTransactionBySenderAndNonce", by_nonce);
    methods.add("ots_getContractCreator", creator);
}

/// A block in any way that it is named.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Place {
    Plain(u64),
    Named(BlockId),
}

impl From<Place> for BlockId {
    fn from(place: Place) -> Self {
        match place {
            Place::Plain(number) => super::blocks::BlockNumber::Plain(number).into(),
            Place::Named(id) => id,
        }
    }
}

fn has_code(call: &Call, account: Address, block: L2BlockNumber) -> ApiResult<bool> {
    Ok(!call.view.slot_at(&StorageSlot::code_hash(account), block)?.is_zero())
}

/// The first block after which `holds`, which must hold after `last` and, once it does, always.
fn first_block(
    last: L2BlockNumber,
    holds: impl Fn(L2BlockNumber) -> ApiResult<bool>,
) -> ApiResult<L2BlockNumber> {
    let (mut low, mut high) = (0, last.0);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(L2BlockNumber(middle))? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(L2BlockNumber(high))
}

fn by_nonce(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<B256>> {
    let sender: Address = params.next()?;
    let Count(nonce) = params.next()?;
    let slot = StorageSlot::nonces(sender);
    let is_sent = |block| {
        let sent = Nonces::from_value(call.view.slot_at(&slot, block)?).tx;
        Ok(sent > U256::from(nonce))
    };
    let head = call.head()?;
    if !is_sent(head)? {
        return Ok(None);
    }
    let transactions = call.view.transactions(first_block(head, is_sent)?)?;
    let is_it = |tx: &&Transaction| {
        let has_nonce = match &tx.common {
            TxCommon::L2(common) => u64::from(common.nonce) == nonce,
            TxCommon::Priority(_) | TxCommon::Upgrade(_) => false,
        };
        has_nonce && tx.initiator() == sender
    };
    Ok(transactions.iter().find(is_it).map(|tx| tx.hash().0))
}

/// `null` for accounts without code and for those that no transaction of a user made.
fn creator(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<ContractCreator>> {
    let account: Address = params.next()?;
    let head = call.head()?;
    if !has_code(call, account, head)? {
        return Ok(None);
    }
    let block = first_block(head, |block| has_code(call, account, block))?;
    for (index, receipt) in (0..).zip(call.view.receipts(block)?) {
        let Some(creator) = creator_in(&receipt, account) else { continue };
        if index >= call.header(block)?.tx_count() {
            return Ok(None); // The fictive block has no transaction to name.
        }
        let tx = call.transaction(TxPosition { block, index })?;
        return Ok(Some(ContractCreator { hash: tx.hash().0, creator }));
    }
    // It was there from the beginning, or an upgrade put it there.
    Ok(None)
}

fn creator_in(receipt: &Receipt, account: Address) -> Option<Address> {
    let event = receipt.events.iter().find(|event| {
        event.address == CONTRACT_DEPLOYER
            && event.topics.first() == Some(&CONTRACT_DEPLOYED)
            && event.topics.get(3) == Some(&account.into_word())
    })?;
    event.topics.get(1).map(|topic| Address::from_word(*topic))
}

#[cfg(test)]
mod tests {
    use lockstep_types::keccak256;

    use super::*;

    #[test]
    fn the_topic_is_the_hash_of_its_signature() {
        assert_eq!(keccak256("ContractDeployed(address,bytes32,address)"), CONTRACT_DEPLOYED);
    }

    #[test]
    fn the_first_block_is_found_wherever_it_is() {
        for last in 0..20 {
            for first in 0..=last {
                let found = first_block(L2BlockNumber(last), |block| Ok(block.0 >= first));
                assert_eq!(found.unwrap().0, first, "{last}");
            }
        }
    }
}
