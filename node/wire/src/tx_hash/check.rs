//! Compares a transaction with what its bytes say.

use std::fmt;

use lockstep_types::{
    ChainId, L2Common, Transaction, TxCommon, TxHash, TxType, U256, bytecode::InvalidBytecode,
};

use super::{
    DecodeError,
    canonical::{self, BadFactoryDep},
    decode::{DEFAULT_GAS_PER_PUBDATA, decode_any},
};

/// Gas for a byte of pubdata that old versions gave to transactions that cannot name it.
const OLD_GAS_PER_PUBDATA: u64 = 20_000;

/// Longer values are cut in messages.
const SHOWN_CHARS_MAX: usize = 140;

/// How far a transaction could be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Checked {
    /// The hash and every field that belongs to it.
    Whole,
    /// Nothing: the main node did not keep the signed bytes of this very old transaction, so its
    /// hash stands as claimed. Running it and comparing the batch's root is what is left.
    HashOnlyTrusted,
}

/// A transaction is not what its hash says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxMismatch {
    /// A field is not what the transaction's bytes say.
    #[error("transaction {tx}: {field} is claimed to be {claimed}, and is {recomputed}")]
    Field {
        /// Hash that the transaction is claimed to have.
        tx: TxHash,
        /// The field.
        field: &'static str,
        /// What was claimed, perhaps cut.
        claimed: String,
        /// What its bytes say, perhaps cut.
        recomputed: String,
    },
    /// Its bytes are no transaction of this chain.
    #[error("transaction {tx}: {source}")]
    Undecodable {
        /// Hash that the transaction is claimed to have.
        tx: TxHash,
        /// Why not.
        source: DecodeError,
    },
    /// A bytecode that comes along is none.
    #[error("transaction {tx}: factory dep {index}: {source}")]
    FactoryDep {
        /// Hash that the transaction is claimed to have.
        tx: TxHash,
        /// Its place in the list.
        index: usize,
        /// Why not.
        source: InvalidBytecode,
    },
}

/// Checks that `tx` is a transaction of chain `chain_id`, that it has the hash that it claims,
/// and that every field that belongs to the hash is what was hashed.
///
/// # Errors
///
/// [`TxMismatch`]: whoever sent the transaction lies or is damaged.
pub fn check_transaction(tx: &Transaction, chain_id: ChainId) -> Result<Checked, TxMismatch> {
    let hash = match &tx.common {
        TxCommon::L2(common) => return check_l2(tx, common, chain_id),
        TxCommon::Priority(common) => canonical::priority_hash(common, &tx.execute),
        TxCommon::Upgrade(common) => canonical::upgrade_hash(common, &tx.execute),
    };
    let compare = Compare { tx: tx.hash() };
    let hash = hash.map_err(|BadFactoryDep { index, source }| TxMismatch::FactoryDep {
        tx: compare.tx,
        index,
        source,
    })?;
    compare.field("canonicalTxHash", &tx.hash(), &hash)?;
    compare.field("raw_bytes", &tx.raw, &None)?;
    Ok(Checked::Whole)
}

fn check_l2(
    tx: &Transaction,
    claimed: &L2Common,
    chain_id: ChainId,
) -> Result<Checked, TxMismatch> {
    let compare = Compare { tx: claimed.hash };
    let Some(raw) = tx.raw.as_ref().or(claimed.input.as_ref()) else {
        return Ok(Checked::HashOnlyTrusted);
    };
    let decoded = decode_any(raw, chain_id)
        .map_err(|source| TxMismatch::Undecodable { tx: claimed.hash, source })?;
    let TxCommon::L2(said) = &decoded.common else { unreachable!("signed bytes are of L2") };

    compare.field("hash", &claimed.hash, &said.hash)?;
    compare.field("transactionType", &claimed.tx_type, &said.tx_type)?;
    compare.field("nonce", &claimed.nonce, &said.nonce)?;
    compare.field("gas_limit", &claimed.fee.gas_limit, &said.fee.gas_limit)?;
    compare.field("max_fee_per_gas", &claimed.fee.max_fee_per_gas, &said.fee.max_fee_per_gas)?;
    let (tip, said_tip) = (claimed.fee.max_priority_fee_per_gas, said.fee.max_priority_fee_per_gas);
    compare.field("max_priority_fee_per_gas", &tip, &said_tip)?;
    compare.gas_per_pubdata(claimed, said)?;
    compare.field("initiatorAddress", &claimed.initiator, &said.initiator)?;
    compare.field("signature", &claimed.signature, &said.signature)?;
    compare.field("paymaster", &claimed.paymaster.paymaster, &said.paymaster.paymaster)?;
    compare.field("paymasterInput", &claimed.paymaster.input, &said.paymaster.input)?;
    compare.field("contractAddress", &tx.execute.to, &decoded.execute.to)?;
    compare.field("value", &tx.execute.value, &decoded.execute.value)?;
    compare.field("calldata", &tx.execute.calldata, &decoded.execute.calldata)?;
    compare.field("factoryDeps", &tx.execute.factory_deps, &decoded.execute.factory_deps)?;
    if let Some(input) = &claimed.input {
        compare.field("input.data", input, raw)?;
    }
    Ok(Checked::Whole)
}

struct Compare {
    tx: TxHash,
}

impl Compare {
    fn field<T: PartialEq + fmt::Debug>(
        &self,
        field: &'static str,
        claimed: &T,
        recomputed: &T,
    ) -> Result<(), TxMismatch> {
        if claimed == recomputed {
            return Ok(());
        }
        let (claimed, recomputed) = (shown(claimed), shown(recomputed));
        Err(TxMismatch::Field { tx: self.tx, field, claimed, recomputed })
    }

    /// Only typed data names it; for other envelopes the version chose a constant.
    fn gas_per_pubdata(&self, claimed: &L2Common, said: &L2Common) -> Result<(), TxMismatch> {
        let limit = claimed.fee.gas_per_pubdata_limit;
        let known = [DEFAULT_GAS_PER_PUBDATA, OLD_GAS_PER_PUBDATA].map(U256::from);
        if said.tx_type != TxType::Eip712 && known.contains(&limit) {
            return Ok(());
        }
        self.field("gas_per_pubdata_limit", &limit, &said.fee.gas_per_pubdata_limit)
    }
}

fn shown(value: &impl fmt::Debug) -> String {
    let whole = format!("{value:?}");
    match whole.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", &whole[..end], whole.len()),
        None => whole,
    }
}
