//! From signed bytes to a transaction.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use lockstep_types::{
    ChainId, Execute, Fee, L2Common, PaymasterParams, Transaction, TxCommon, TxHash, TxType,
    bytecode::InvalidBytecode,
};

use super::{
    rlp::{self, Items},
    signer::RawSignature,
    typed_data::{self, TypedData},
};

/// Gas for a byte of pubdata of transactions that cannot name it.
pub(super) const DEFAULT_GAS_PER_PUBDATA: u64 = 50_000;

/// Why bytes are no transaction of this chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first byte names no known envelope.
    #[error("transaction type is not supported")]
    UnknownType,
    /// Lists of accesses have no meaning on this chain.
    #[error("access lists are not supported")]
    AccessList,
    /// It was signed for another chain.
    #[error("wrong chain id {0}")]
    WrongChainId(u64),
    /// The envelope has another number of items.
    #[error("{found} items where {count} belong")]
    ItemCount {
        /// Items that are there.
        found: usize,
        /// Items that belong there.
        count: usize,
    },
    /// Something follows the envelope.
    #[error("{0} bytes after the transaction")]
    TrailingBytes(usize),
    /// A field is not what belongs there.
    #[error("field {field}: {source}")]
    Rlp {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: alloy_rlp::Error,
    },
    /// The nonce does not fit.
    #[error("nonce has max value")]
    Nonce,
    /// A typed-data transaction must have a target.
    #[error("toAddressIsNull")]
    NoTarget,
    /// A paymaster is an address and its input.
    #[error("malformed paymaster params")]
    Paymaster,
    /// A bytecode that comes along is none.
    #[error("factory dependency is invalid: {0}")]
    FactoryDep(#[from] InvalidBytecode),
    /// Nobody can have signed like this.
    #[error("invalid signature")]
    Signature,
}

/// Reads a transaction as submitted to the chain now. Its time of receipt is 0.
///
/// Sizes, fees, and whether the sender may do this are not looked at.
///
/// # Errors
///
/// [`DecodeError`], whose text may be shown to whoever submitted it.
pub fn decode_raw(bytes: &Bytes, chain_id: ChainId) -> Result<Transaction, DecodeError> {
    if bytes.first() == Some(&TxType::Eip2930.byte()) {
        return Err(DecodeError::AccessList);
    }
    decode_any(bytes, chain_id)
}

/// As [`decode_raw`], and reads what only old blocks contain.
pub(super) fn decode_any(bytes: &Bytes, chain_id: ChainId) -> Result<Transaction, DecodeError> {
    let envelope = match bytes.first() {
        Some(0xc0..) => Envelope::legacy(bytes, chain_id)?,
        Some(0x01) => Envelope::eip2930(bytes, chain_id)?,
        Some(0x02) => Envelope::eip1559(bytes, chain_id)?,
        Some(0x71) => return typed_data_transaction(bytes, chain_id),
        Some(_) | None => return Err(DecodeError::UnknownType),
    };
    envelope.into_transaction(bytes)
}

/// What the envelopes without typed data have in common.
struct Envelope {
    tx_type: TxType,
    nonce: U256,
    max_fee_per_gas: U256,
    max_priority_fee_per_gas: U256,
    gas_limit: U256,
    to: Option<Address>,
    value: U256,
    calldata: Bytes,
    signature: RawSignature,
    /// What was signed.
    digest: B256,
}

impl Envelope {
    fn legacy(bytes: &[u8], chain_id: ChainId) -> Result<Self, DecodeError> {
        let mut items = Items::of(bytes, 9)?;
        let nonce: U256 = items.next("nonce")?;
        let gas_price: U256 = items.next("gasPrice")?;
        let gas_limit: U256 = items.next("gas")?;
        let to = items.next_address("to")?;
        let value: U256 = items.next("value")?;
        let calldata: Bytes = items.next("input")?;
        let v: u64 = items.next("v")?;
        let (r, s) = (items.next("r")?, items.next("s")?);
        let (parity, signed_for) = split_legacy_v(v)?;
        let to_item = address_item(to);
        let mut signed: Vec<&dyn Encodable> =
            vec![&nonce, &gas_price, &gas_limit, &to_item, &value, &calldata];
        if let Some(id) = &signed_for {
            check_chain(*id, chain_id)?;
            signed.extend([id as &dyn Encodable, &0_u8, &0_u8]);
        }
        let digest = keccak256(rlp::list(&[], &signed));
        Ok(Self {
            tx_type: TxType::Legacy,
            nonce,
            max_fee_per_gas: gas_price,
            max_priority_fee_per_gas: gas_price,
            gas_limit,
            to,
            value,
            calldata,
            signature: RawSignature::with_parity(parity, r, s)?,
            digest,
        })
    }

    fn eip2930(bytes: &[u8], chain_id: ChainId) -> Result<Self, DecodeError> {
        let mut items = Items::of(&bytes[1..], 11)?;
        let id: u64 = items.next("chainId")?;
        check_chain(id, chain_id)?;
        let nonce: U256 = items.next("nonce")?;
        let gas_price: U256 = items.next("gasPrice")?;
        let gas_limit: U256 = items.next("gas")?;
        let to = items.next_address("to")?;
        let value: U256 = items.next("value")?;
        let calldata: Bytes = items.next("input")?;
        no_accesses(&mut items)?;
        let signature = next_signature(&mut items)?;
        let to_item = address_item(to);
        let digest = keccak256(rlp::list(
            &[0x01],
            &[&id, &nonce, &gas_price, &gas_limit, &to_item, &value, &calldata, &no_items()],
        ));
        Ok(Self {
            tx_type: TxType::Eip2930,
            nonce,
            max_fee_per_gas: gas_price,
            max_priority_fee_per_gas: gas_price,
            gas_limit,
            to,
            value,
            calldata,
            signature,
            digest,
        })
    }

    fn eip1559(bytes: &[u8], chain_id: ChainId) -> Result<Self, DecodeError> {
        let mut items = Items::of(&bytes[1..], 12)?;
        let id: u64 = items.next("chainId")?;
        check_chain(id, chain_id)?;
        let nonce: U256 = items.next("nonce")?;
        let tip: U256 = items.next("maxPriorityFeePerGas")?;
        let max_fee_per_gas: U256 = items.next("maxFeePerGas")?;
        let gas_limit: U256 = items.next("gas")?;
        let to = items.next_address("to")?;
        let value: U256 = items.next("value")?;
        let calldata: Bytes = items.next("input")?;
        no_accesses(&mut items)?;
        let signature = next_signature(&mut items)?;
        let to_item = address_item(to);
        let digest = keccak256(rlp::list(
            &[0x02],
            &[
                &id,
                &nonce,
                &tip,
                &max_fee_per_gas,
                &gas_limit,
                &to_item,
                &value,
                &calldata,
                &no_items(),
            ],
        ));
        Ok(Self {
            tx_type: TxType::Eip1559,
            nonce,
            max_fee_per_gas,
            max_priority_fee_per_gas: tip,
            gas_limit,
            to,
            value,
            calldata,
            signature,
            digest,
        })
    }

    fn into_transaction(self, raw: &Bytes) -> Result<Transaction, DecodeError> {
        let common = L2Common {
            hash: TxHash(keccak256(raw)),
            nonce: narrow_nonce(self.nonce)?,
            fee: Fee {
                gas_limit: self.gas_limit,
                max_fee_per_gas: self.max_fee_per_gas,
                max_priority_fee_per_gas: self.max_priority_fee_per_gas,
                gas_per_pubdata_limit: U256::from(DEFAULT_GAS_PER_PUBDATA),
            },
            initiator: self.signature.signer(self.digest)?,
            signature: self.signature.packed(),
            tx_type: self.tx_type,
            input: Some(raw.clone()),
            paymaster: PaymasterParams::default(),
        };
        let execute = Execute {
            to: self.to,
            calldata: self.calldata,
            value: self.value,
            factory_deps: Vec::new(),
        };
        Ok(transaction(common, execute, raw))
    }
}

fn typed_data_transaction(raw: &Bytes, chain_id: ChainId) -> Result<Transaction, DecodeError> {
    let mut items = Items::of(&raw[1..], 16)?;
    let nonce: U256 = items.next("nonce")?;
    let max_priority_fee_per_gas = items.next("maxPriorityFeePerGas")?;
    let max_fee_per_gas = items.next("maxFeePerGas")?;
    let gas_limit = items.next("gas")?;
    let to = items.next_address("to")?.ok_or(DecodeError::NoTarget)?;
    let value = items.next("value")?;
    let calldata = items.next("input")?;
    let (v, r, s) = (items.next::<u64>("v")?, items.next("r")?, items.next("s")?);
    check_chain(items.next("chainId")?, chain_id)?;
    let from: Address = items.next("from")?;
    let gas_per_pubdata_limit = items.next("gasPerPubdata")?;
    let factory_deps = items.next_list("factoryDeps")?;
    let custom_signature: Bytes = items.next("customSignature")?;
    let paymaster = paymaster(&items.next_list("paymasterParams")?)?;
    let signature = if custom_signature.is_empty() {
        RawSignature::with_parity(v, r, s)?.packed()
    } else {
        custom_signature
    };

    let fee = Fee { gas_limit, max_fee_per_gas, max_priority_fee_per_gas, gas_per_pubdata_limit };
    let execute = Execute { to: Some(to), calldata, value, factory_deps };
    let signed =
        TypedData { chain_id, from, nonce, fee: &fee, execute: &execute, paymaster: &paymaster };
    let common = L2Common {
        hash: typed_data::hash(signed.digest()?, &signature),
        nonce: narrow_nonce(nonce)?,
        fee,
        initiator: from,
        signature,
        tx_type: TxType::Eip712,
        input: Some(raw.clone()),
        paymaster,
    };
    Ok(transaction(common, execute, raw))
}

/// Whose key signed a typed-data transaction; `None` if its signature is none of a key. A custom
/// account may accept that.
pub fn typed_data_signer(tx: &Transaction, chain_id: ChainId) -> Option<Address> {
    let TxCommon::L2(common) = &tx.common else { return None };
    let signed = TypedData {
        chain_id,
        from: common.initiator,
        nonce: U256::from(common.nonce),
        fee: &common.fee,
        execute: &tx.execute,
        paymaster: &common.paymaster,
    };
    let bytes = <&[u8; 65]>::try_from(common.signature.as_ref()).ok()?;
    let (r, s) = (U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..64]));
    let signature = RawSignature::with_parity(u64::from(bytes[64]), r, s).ok()?;
    signature.signer(signed.digest().ok()?).ok()
}

fn transaction(common: L2Common, execute: Execute, raw: &Bytes) -> Transaction {
    Transaction {
        common: TxCommon::L2(Box::new(common)),
        execute,
        received_at_ms: 0,
        raw: Some(raw.clone()),
    }
}

fn paymaster(items: &[Bytes]) -> Result<PaymasterParams, DecodeError> {
    match items {
        [] => Ok(PaymasterParams::default()),
        [paymaster, input] if paymaster.len() == 20 => {
            Ok(PaymasterParams { paymaster: Address::from_slice(paymaster), input: input.clone() })
        }
        _ => Err(DecodeError::Paymaster),
    }
}

/// Parity of a legacy signature, and the chain that it was made for, if it names one (EIP-155).
fn split_legacy_v(v: u64) -> Result<(u64, Option<u64>), DecodeError> {
    match v {
        27 | 28 => Ok((v - 27, None)),
        35.. => Ok(((v - 35) % 2, Some((v - 35) / 2))),
        _ => Err(DecodeError::Signature),
    }
}

fn check_chain(id: u64, chain_id: ChainId) -> Result<(), DecodeError> {
    if id == chain_id.0 { Ok(()) } else { Err(DecodeError::WrongChainId(id)) }
}

fn narrow_nonce(nonce: U256) -> Result<u32, DecodeError> {
    u32::try_from(nonce).map_err(|_only_overflow_is_left| DecodeError::Nonce)
}

fn no_accesses(items: &mut Items<'_>) -> Result<(), DecodeError> {
    if items.next_is_empty_list("accessList")? { Ok(()) } else { Err(DecodeError::AccessList) }
}

fn next_signature(items: &mut Items<'_>) -> Result<RawSignature, DecodeError> {
    RawSignature::with_parity(items.next("v")?, items.next("r")?, items.next("s")?)
}

/// An address as an item of a list: empty if there is none.
fn address_item(address: Option<Address>) -> Bytes {
    address.map_or_else(Bytes::new, |address| Bytes::copy_from_slice(address.as_slice()))
}

/// The empty list.
fn no_items() -> Vec<Bytes> {
    Vec::new()
}
