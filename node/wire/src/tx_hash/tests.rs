//! Recorded transactions are whole; changed ones are not.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use k256::ecdsa::SigningKey;
use lockstep_types::{ChainId, Transaction, TxCommon, TxType};

use super::{
    Checked, DecodeError, TxMismatch, check_transaction, decode::decode_any, decode_raw, rlp,
};

const CHAIN: ChainId = ChainId(270);
const TARGET: Address = Address::repeat_byte(0x33);

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn sender() -> Address {
    let point = key().verifying_key().to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

/// Parity, r and s of a signature over `digest`.
fn sign(digest: B256) -> (u64, U256, U256) {
    let (signature, id) = key().sign_prehash_recoverable(digest.as_slice()).unwrap();
    let part = |bytes: &[u8]| U256::from_be_slice(bytes);
    (u64::from(id.is_y_odd()), part(&signature.r().to_bytes()), part(&signature.s().to_bytes()))
}

fn signed(prefix: &[u8], fields: &[&dyn Encodable], v_of: impl Fn(u64) -> u64) -> Bytes {
    signed_as(prefix, fields, fields, v_of)
}

/// Signs `signed` and appends the signature to `sent`.
fn signed_as(
    prefix: &[u8],
    signed: &[&dyn Encodable],
    sent: &[&dyn Encodable],
    v_of: impl Fn(u64) -> u64,
) -> Bytes {
    let (parity, r, s) = sign(keccak256(rlp::list(prefix, signed)));
    let v = v_of(parity);
    let mut items = sent.to_vec();
    items.extend([&v as &dyn Encodable, &r, &s]);
    rlp::list(prefix, &items).into()
}

fn no_accesses() -> Vec<Bytes> {
    Vec::new()
}

fn eip1559() -> Bytes {
    let data = Bytes::from_static(b"data");
    let accesses = no_accesses();
    let fields: [&dyn Encodable; 9] =
        [&CHAIN.0, &3_u64, &1_u64, &9_u64, &21_000_u64, &TARGET, &5_u64, &data, &accesses];
    signed(&[0x02], &fields, |parity| parity)
}

fn legacy_with_chain() -> Bytes {
    let data = Bytes::new();
    let sent: [&dyn Encodable; 6] = [&3_u64, &9_u64, &21_000_u64, &TARGET, &5_u64, &data];
    let mut with_chain = sent.to_vec();
    with_chain.extend([&CHAIN.0 as &dyn Encodable, &0_u8, &0_u8]);
    signed_as(&[], &with_chain, &sent, |parity| parity + 35 + 2 * CHAIN.0)
}

fn legacy_without_chain() -> Bytes {
    let data = Bytes::new();
    let fields: [&dyn Encodable; 6] = [&3_u64, &9_u64, &21_000_u64, &TARGET, &5_u64, &data];
    signed(&[], &fields, |parity| parity + 27)
}

fn eip2930() -> Bytes {
    let data = Bytes::new();
    let accesses = no_accesses();
    let fields: [&dyn Encodable; 8] =
        [&CHAIN.0, &3_u64, &9_u64, &21_000_u64, &TARGET, &5_u64, &data, &accesses];
    signed(&[0x01], &fields, |parity| parity)
}

fn typed_data(custom_signature: &[u8], dep: &[u8], paymaster: &[Bytes]) -> Bytes {
    let (data, custom) = (Bytes::from_static(b"data"), Bytes::copy_from_slice(custom_signature));
    let deps = if dep.is_empty() { vec![] } else { vec![Bytes::copy_from_slice(dep)] };
    let paymaster = paymaster.to_vec();
    rlp::list(
        &[0x71],
        &[
            &3_u64,
            &1_u64,
            &9_u64,
            &21_000_u64,
            &TARGET,
            &5_u64,
            &data,
            &1_u64,
            &U256::from(8),
            &U256::from(9),
            &CHAIN.0,
            &sender(),
            &800_u64,
            &deps,
            &custom,
            &paymaster,
        ],
    )
    .into()
}

fn typed_data_with_everything() -> Bytes {
    let paymaster = [Bytes::copy_from_slice(&[0x44; 20]), Bytes::from_static(b"input")];
    typed_data(b"custom signature", &[6; 96], &paymaster)
}

#[test]
fn every_envelope_is_decoded_and_is_what_it_says() {
    for (raw, tx_type) in [
        (legacy_with_chain(), TxType::Legacy),
        (legacy_without_chain(), TxType::Legacy),
        (eip2930(), TxType::Eip2930),
        (eip1559(), TxType::Eip1559),
        (typed_data_with_everything(), TxType::Eip712),
    ] {
        let tx = decode_any(&raw, CHAIN).unwrap();
        let TxCommon::L2(common) = &tx.common else { panic!("not from L2") };
        assert_eq!(common.tx_type, tx_type);
        assert_eq!((common.nonce, common.initiator), (3, sender()), "{tx_type:?}");
        assert_eq!(tx.execute.to, Some(TARGET));
        assert_eq!(check_transaction(&tx, CHAIN), Ok(Checked::Whole), "{tx_type:?}");
    }
}

#[test]
fn old_envelopes_are_not_accepted_from_clients() {
    assert_eq!(decode_raw(&eip2930(), CHAIN), Err(DecodeError::AccessList));
    assert!(decode_raw(&eip1559(), CHAIN).is_ok());
    let accesses = vec![Bytes::from_static(b"x")];
    let data = Bytes::new();
    let fields: [&dyn Encodable; 9] =
        [&CHAIN.0, &3_u64, &1_u64, &9_u64, &21_000_u64, &TARGET, &5_u64, &data, &accesses];
    let raw = signed(&[0x02], &fields, |parity| parity);
    assert_eq!(decode_raw(&raw, CHAIN), Err(DecodeError::AccessList));
}

#[test]
fn a_transaction_of_another_chain_is_refused() {
    for raw in [eip1559(), legacy_with_chain(), typed_data(b"s", &[], &[])] {
        let error = decode_raw(&raw, ChainId(1)).unwrap_err();
        assert_eq!(error.to_string(), "wrong chain id 270");
    }
    assert!(decode_raw(&legacy_without_chain(), ChainId(1)).is_ok());
}

#[test]
fn damaged_bytes_are_refused_and_nothing_panics() {
    for whole in [eip1559(), legacy_with_chain(), eip2930(), typed_data_with_everything()] {
        for end in 0..whole.len() {
            let cut = whole.slice(..end);
            assert!(decode_any(&cut, CHAIN).is_err(), "cut at {end}");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert_eq!(decode_any(&longer.into(), CHAIN), Err(DecodeError::TrailingBytes(1)));
        for index in 0..whole.len() {
            let mut flipped = whole.to_vec();
            flipped[index] ^= 1;
            if let Ok(mut tx) = decode_any(&flipped.into(), CHAIN) {
                let original = decode_any(&whole, CHAIN).unwrap();
                if tx.hash() == original.hash() {
                    // Beside a custom signature, the places of the usual one say nothing.
                    tx.raw.clone_from(&original.raw);
                    let (TxCommon::L2(common), TxCommon::L2(other)) =
                        (&mut tx.common, &original.common)
                    else {
                        panic!("not from L2")
                    };
                    common.input.clone_from(&other.input);
                    assert_eq!(tx, original, "byte {index} changes something without a trace");
                }
            }
        }
    }
}

#[test]
fn impossible_typed_data_is_refused() {
    let half_a_paymaster = [Bytes::copy_from_slice(&[0x44; 20])];
    let raw = typed_data(b"s", &[], &half_a_paymaster);
    assert_eq!(decode_raw(&raw, CHAIN), Err(DecodeError::Paymaster));
    let raw = typed_data(b"s", &[6; 64], &[]);
    assert!(matches!(decode_raw(&raw, CHAIN), Err(DecodeError::FactoryDep(_))));
}

#[test]
fn typed_data_without_custom_signature_has_the_packed_one() {
    let tx = decode_raw(&typed_data(&[], &[], &[]), CHAIN).unwrap();
    let TxCommon::L2(common) = &tx.common else { panic!("not from L2") };
    assert_eq!(common.signature.len(), 65);
    assert_eq!(common.signature[64], 28);
}

#[test]
fn a_signature_with_a_high_s_names_the_same_signer() {
    let order = U256::from_be_bytes::<32>(k256::FieldBytes::from(-k256::Scalar::ONE).into());
    let data = Bytes::new();
    let accesses = no_accesses();
    let fields: [&dyn Encodable; 9] =
        [&CHAIN.0, &3_u64, &1_u64, &9_u64, &21_000_u64, &TARGET, &5_u64, &data, &accesses];
    let (parity, r, s) = sign(keccak256(rlp::list(&[0x02], &fields)));
    let mut items = fields.to_vec();
    let (v, high) = (1 - parity, order - s + U256::from(1));
    items.extend([&v as &dyn Encodable, &r, &high]);
    let raw = Bytes::from(rlp::list(&[0x02], &items));
    assert_eq!(decode_raw(&raw, CHAIN).unwrap().initiator(), sender());
}

/// Applies each change to a good transaction, and expects it to be refused because of `field`.
fn refused(good: &Transaction, field: &str, change: impl FnOnce(&mut Transaction)) {
    let mut bad = good.clone();
    change(&mut bad);
    let error = check_transaction(&bad, CHAIN).unwrap_err();
    assert!(matches!(&error, TxMismatch::Field { field: it, .. } if *it == field), "{error}");
}

#[test]
fn a_lie_about_any_field_is_seen() {
    for raw in [eip1559(), legacy_with_chain(), typed_data_with_everything()] {
        let good = decode_any(&raw, CHAIN).unwrap();
        let l2 = |change: fn(&mut lockstep_types::L2Common)| {
            move |tx: &mut Transaction| {
                let TxCommon::L2(common) = &mut tx.common else { panic!("not from L2") };
                change(common);
            }
        };
        refused(&good, "hash", l2(|common| common.hash.0.0[0] ^= 1));
        refused(&good, "transactionType", l2(|common| common.tx_type = TxType::Eip2930));
        refused(&good, "nonce", l2(|common| common.nonce += 1));
        refused(&good, "gas_limit", l2(|common| common.fee.gas_limit += U256::from(1)));
        let field = "max_fee_per_gas";
        refused(&good, field, l2(|common| common.fee.max_fee_per_gas += U256::from(1)));
        let field = "max_priority_fee_per_gas";
        refused(&good, field, l2(|common| common.fee.max_priority_fee_per_gas += U256::from(1)));
        let field = "gas_per_pubdata_limit";
        refused(&good, field, l2(|common| common.fee.gas_per_pubdata_limit += U256::from(1)));
        refused(&good, "initiatorAddress", l2(|common| common.initiator.0.0[0] ^= 1));
        refused(&good, "signature", l2(|common| common.signature = Bytes::new()));
        refused(&good, "paymaster", l2(|common| common.paymaster.paymaster.0.0[0] ^= 1));
        let field = "paymasterInput";
        refused(&good, field, l2(|common| common.paymaster.input = Bytes::from_static(b"other")));
        refused(&good, "input.data", l2(|common| common.input = Some(Bytes::from_static(b"x"))));
        refused(&good, "contractAddress", |tx| tx.execute.to = None);
        refused(&good, "value", |tx| tx.execute.value += U256::from(1));
        refused(&good, "calldata", |tx| tx.execute.calldata = Bytes::from_static(b"other"));
        refused(&good, "factoryDeps", |tx| tx.execute.factory_deps.push(Bytes::from(vec![1; 32])));
    }
}

#[test]
fn without_the_signed_bytes_the_hash_is_trusted() {
    let mut tx = decode_raw(&eip1559(), CHAIN).unwrap();
    tx.raw = None;
    assert_eq!(check_transaction(&tx, CHAIN), Ok(Checked::Whole), "the input is still there");
    let TxCommon::L2(common) = &mut tx.common else { panic!("not from L2") };
    common.input = None;
    assert_eq!(check_transaction(&tx, CHAIN), Ok(Checked::HashOnlyTrusted));
}
