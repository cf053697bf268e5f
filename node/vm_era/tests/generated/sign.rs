//! Transactions in the crates' words, signed with real keys, and their way into ours.

use lockstep_types::{
    Address, Bytes, ChainId, ProtocolVersion, Transaction, TxCommon, TxHash, U256,
};
use lockstep_wire::en::TransactionJson;
use zksync_types::{
    H160, H256, K256PrivateKey, PackedEthSignature, abi,
    bytecode::BytecodeHash,
    l2::L2Tx,
    transaction_request::{Eip712Meta, TransactionRequest},
};

/// Longest encoding that the crates accept, bytes.
const ENCODED_BYTES_MAX: usize = 1 << 24;

/// Somebody who can sign.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) key: K256PrivateKey,
    pub(crate) address: Address,
    /// Of the next transaction.
    pub(crate) nonce: u32,
}

impl Account {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        let key = K256PrivateKey::from_bytes(H256(secret)).unwrap();
        let address = Address::new(key.address().0);
        Self { key, address, nonce: 0 }
    }
}

/// How a transaction is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Envelope {
    Legacy,
    /// Signed without the chain's id.
    OldLegacy,
    Eip2930,
    Eip1559,
    Eip712,
}

impl Envelope {
    pub(crate) const ALL: [Self; 5] =
        [Self::Legacy, Self::OldLegacy, Self::Eip2930, Self::Eip1559, Self::Eip712];
}

/// What an account wants.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) envelope: Envelope,
    pub(crate) nonce: u32,
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    /// With [`Envelope::Eip712`] only.
    pub(crate) factory_deps: Vec<Bytes>,
    pub(crate) gas_limit: u64,
    pub(crate) gas_price: u64,
    pub(crate) tip: u64,
    /// With [`Envelope::Eip712`] only.
    pub(crate) gas_per_pubdata_limit: u64,
}

fn era_u256(number: U256) -> zksync_types::U256 {
    zksync_types::U256(*number.as_limbs())
}

fn era_address(address: Address) -> H160 {
    H160(address.into_array())
}

/// Signs `request`.
pub(crate) fn signed(request: &Request, account: &Account, chain_id: ChainId) -> Transaction {
    let kind: Option<u64> = match request.envelope {
        Envelope::Legacy | Envelope::OldLegacy => None,
        Envelope::Eip2930 => Some(1),
        Envelope::Eip1559 => Some(2),
        Envelope::Eip712 => Some(0x71),
    };
    let has_chain_id = request.envelope != Envelope::OldLegacy;
    let mut unsigned = TransactionRequest {
        nonce: request.nonce.into(),
        from: Some(era_address(account.address)),
        to: request.to.map(era_address),
        value: era_u256(request.value),
        gas_price: request.gas_price.into(),
        gas: request.gas_limit.into(),
        input: request.input.to_vec().into(),
        transaction_type: kind.map(Into::into),
        chain_id: has_chain_id.then_some(chain_id.0),
        ..TransactionRequest::default()
    };
    if matches!(request.envelope, Envelope::Eip1559 | Envelope::Eip712) {
        unsigned.max_priority_fee_per_gas = Some(request.tip.into());
    }
    if request.envelope == Envelope::Eip712 {
        unsigned.eip712_meta = Some(Eip712Meta {
            gas_per_pubdata: request.gas_per_pubdata_limit.into(),
            factory_deps: request.factory_deps.iter().map(|dep| dep.to_vec()).collect(),
            custom_signature: None,
            paymaster_params: None,
        });
    }
    let digest = unsigned.get_default_signed_message().unwrap();
    let signature = PackedEthSignature::sign_raw(&account.key, &digest).unwrap();
    unsigned.set_signature(&signature);
    match request.envelope {
        Envelope::Legacy => {
            unsigned.v = Some(signature.v_with_chain_id(chain_id.0).into());
        }
        Envelope::OldLegacy => unsigned.v = Some((u64::from(signature.v()) + 27).into()),
        Envelope::Eip2930 | Envelope::Eip1559 | Envelope::Eip712 => {}
    }
    let raw = match request.envelope {
        // The crates write no signature where the chain's id is missing in this place.
        Envelope::OldLegacy => old_legacy(&unsigned, &signature),
        Envelope::Legacy | Envelope::Eip2930 | Envelope::Eip1559 | Envelope::Eip712 => {
            unsigned.get_signed_bytes(&signature).unwrap()
        }
    };
    unsigned.raw = Some(raw.clone().into());
    let hash = unsigned.get_tx_hash().unwrap();
    let mut tx = L2Tx::from_request(unsigned, ENCODED_BYTES_MAX, true).unwrap();
    tx.set_input(raw, hash);
    ours(tx.into())
}

fn old_legacy(request: &TransactionRequest, signature: &PackedEthSignature) -> Vec<u8> {
    use alloy_rlp::Encodable;
    let number = |number: zksync_types::U256| U256::from_limbs(number.0);
    let to = request.to.map(|to| Bytes::copy_from_slice(to.as_bytes())).unwrap_or_default();
    let input = Bytes::copy_from_slice(&request.input.0);
    let (r, s) = (U256::from_be_slice(signature.r()), U256::from_be_slice(signature.s()));
    let (nonce, price, gas) =
        (number(request.nonce), number(request.gas_price), number(request.gas));
    let (value, v) = (number(request.value), u64::from(signature.v()) + 27);
    let fields: [&dyn Encodable; 9] = [&nonce, &price, &gas, &to, &value, &input, &v, &r, &s];
    let mut encoded = Vec::new();
    alloy_rlp::encode_list::<&dyn Encodable, dyn Encodable>(&fields, &mut encoded);
    encoded
}

/// A version that the crates know upgrades to.
const KNOWN_UPGRADE: u16 = 29;

/// What L1 puts into the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FromL1 {
    /// What somebody asked for, with its place in the queue.
    Priority { serial_id: u64 },
    /// The upgrade to a version.
    Upgrade { version: u16 },
}

/// What somebody on L1 wants.
#[derive(Clone, Debug)]
pub(crate) struct L1Request {
    pub(crate) kind: FromL1,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) to_mint: U256,
    pub(crate) input: Bytes,
    pub(crate) factory_deps: Vec<Bytes>,
    pub(crate) gas_limit: u64,
    pub(crate) gas_price: u64,
    pub(crate) gas_per_pubdata_limit: u64,
    pub(crate) refund_recipient: Address,
}

/// The transaction that L1 makes of `request`.
pub(crate) fn from_l1(request: &L1Request) -> Transaction {
    let word = |address: Address| zksync_types::U256::from_big_endian(address.as_slice());
    let factory_deps: Vec<Vec<u8>> = request.factory_deps.iter().map(|dep| dep.to_vec()).collect();
    let hashes = factory_deps.iter().map(|dep| BytecodeHash::for_bytecode(dep).value_u256());
    let (tx_type, nonce): (u8, u64) = match request.kind {
        FromL1::Priority { serial_id } => (Transaction::PRIORITY_TYPE, serial_id),
        FromL1::Upgrade { version } => (Transaction::UPGRADE_TYPE, version.into()),
    };
    let mut tx = abi::L2CanonicalTransaction {
        tx_type: tx_type.into(),
        from: word(request.from),
        to: word(request.to),
        gas_limit: request.gas_limit.into(),
        gas_per_pubdata_byte_limit: request.gas_per_pubdata_limit.into(),
        max_fee_per_gas: request.gas_price.into(),
        max_priority_fee_per_gas: 0.into(),
        paymaster: 0.into(),
        nonce: nonce.into(),
        value: era_u256(request.value),
        reserved: [era_u256(request.to_mint), word(request.refund_recipient), 0.into(), 0.into()],
        data: request.input.to_vec(),
        signature: Vec::new(),
        factory_deps: hashes.collect(),
        paymaster_input: Vec::new(),
        reserved_dynamic: Vec::new(),
    };
    // The crates know upgrades up to some version only.
    let hash = TxHash(tx.hash().0.into());
    if let FromL1::Upgrade { .. } = request.kind {
        tx.nonce = KNOWN_UPGRADE.into();
    }
    let tx = abi::Transaction::L1 { tx: Box::new(tx), factory_deps, eth_block: 1 };
    let mut tx = ours(zksync_types::Transaction::from_abi(tx, true).unwrap());
    if let (TxCommon::Upgrade(common), FromL1::Upgrade { version }) = (&mut tx.common, request.kind)
    {
        common.upgrade = ProtocolVersion(version);
        common.hash = hash;
    }
    tx
}

/// The way that a main node's transactions take.
fn ours(tx: zksync_types::Transaction) -> Transaction {
    let json = serde_json::to_string(&tx).unwrap();
    let parsed: TransactionJson = serde_json::from_str(&json).unwrap();
    Transaction { received_at_ms: 0, ..Transaction::try_from(parsed).unwrap() }
}
