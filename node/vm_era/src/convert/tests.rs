//! Conversions keep every field, and what cannot be converted is refused.

use lockstep_types::{TxHash, transaction::ObsoletePriority};

use super::*;

const V19: ProtocolVersionId = ProtocolVersionId::Version19;
const V29: ProtocolVersionId = ProtocolVersionId::Version29;

fn n(number: u64) -> U256 {
    U256::from(number)
}

fn l2_tx() -> Transaction {
    Transaction {
        common: TxCommon::L2(Box::new(L2Common {
            hash: TxHash(B256::repeat_byte(1)),
            nonce: 2,
            fee: lockstep_types::Fee {
                gas_limit: n(3),
                max_fee_per_gas: n(4),
                max_priority_fee_per_gas: n(5),
                gas_per_pubdata_limit: n(6),
            },
            initiator: Address::repeat_byte(7),
            signature: Bytes::from(vec![8; 65]),
            tx_type: TxType::Eip712,
            input: Some(Bytes::from(vec![9])),
            paymaster: lockstep_types::PaymasterParams {
                paymaster: Address::repeat_byte(10),
                input: Bytes::from(vec![11]),
            },
        })),
        execute: lockstep_types::Execute {
            to: Some(Address::repeat_byte(12)),
            calldata: Bytes::from(vec![13]),
            value: U256::MAX,
            factory_deps: vec![Bytes::from(vec![14; 32])],
        },
        received_at_ms: 15,
        raw: Some(Bytes::from(vec![16])),
    }
}

fn priority_tx() -> Transaction {
    let common = TxCommon::Priority(Box::new(PriorityCommon {
        hash: TxHash(B256::repeat_byte(1)),
        sender: Address::repeat_byte(2),
        serial_id: 3,
        max_fee_per_gas: n(4),
        gas_limit: n(5),
        gas_per_pubdata_limit: n(6),
        to_mint: n(7),
        refund_recipient: Address::repeat_byte(8),
        eth_block: 9,
        obsolete: ObsoletePriority {
            layer_2_tip_fee: n(10),
            full_fee: n(11),
            ..ObsoletePriority::default()
        },
    }));
    Transaction { common, raw: None, ..l2_tx() }
}

fn upgrade_tx(upgrade: u16) -> Transaction {
    let common = TxCommon::Upgrade(Box::new(UpgradeCommon {
        hash: TxHash(B256::repeat_byte(1)),
        sender: Address::repeat_byte(2),
        upgrade: ProtocolVersion(upgrade),
        max_fee_per_gas: n(4),
        gas_limit: n(5),
        gas_per_pubdata_limit: n(6),
        to_mint: n(7),
        refund_recipient: Address::repeat_byte(8),
        eth_block: 9,
        eth_hash: B256::ZERO,
    }));
    Transaction { common, raw: None, ..l2_tx() }
}

#[test]
fn numbers_and_words_keep_their_bytes() {
    let mut next = 0;
    let number = U256::from_be_bytes([(); 32].map(|()| {
        next += 1;
        next
    }));
    assert_eq!(u256(era_u256(number)), number);
    let mut bytes = [0; 32];
    era_u256(number).to_big_endian(&mut bytes);
    assert_eq!(bytes, number.to_be_bytes());
    let word = B256::from(number);
    assert_eq!(b256(h256(word)), word);
    assert_eq!(h256(word).as_bytes(), word.as_slice());
    let slot_in = StorageSlot::new(Address::repeat_byte(3), word);
    assert_eq!(slot(&storage_key(&slot_in)), slot_in);
    assert_eq!(storage_key(&slot_in).hashed_key().0, slot_in.hashed_key().0.0);
}

#[test]
fn an_l2_transaction_keeps_every_field() {
    let expected = era::Transaction {
        common_data: ExecuteTransactionCommon::L2(L2TxCommonData {
            nonce: Nonce(2),
            fee: Fee {
                gas_limit: 3.into(),
                max_fee_per_gas: 4.into(),
                max_priority_fee_per_gas: 5.into(),
                gas_per_pubdata_limit: 6.into(),
            },
            initiator_address: era::Address::repeat_byte(7),
            signature: vec![8; 65],
            transaction_type: TransactionType::EIP712Transaction,
            input: Some(InputData { hash: H256::repeat_byte(1), data: vec![9] }),
            paymaster_params: PaymasterParams {
                paymaster: era::Address::repeat_byte(10),
                paymaster_input: vec![11],
            },
        }),
        execute: Execute {
            contract_address: Some(era::Address::repeat_byte(12)),
            calldata: vec![13],
            value: era::U256::MAX,
            factory_deps: vec![vec![14; 32]],
        },
        received_timestamp_ms: 15,
        raw_bytes: Some(vec![16].into()),
    };
    same(&transaction(&l2_tx(), false).unwrap(), &expected);
}

/// Equality of the crates' transactions looks at the hash only; their JSON shows all fields.
fn same(left: &era::Transaction, right: &era::Transaction) {
    let json = |tx| serde_json::to_value(tx).unwrap();
    assert_eq!(json(left), json(right));
}

#[test]
fn a_priority_operation_keeps_every_field() {
    let ExecuteTransactionCommon::L1(common) =
        transaction(&priority_tx(), false).unwrap().common_data
    else {
        panic!("not a priority operation");
    };
    let expected = L1TxCommonData {
        sender: era::Address::repeat_byte(2),
        serial_id: PriorityOpId(3),
        layer_2_tip_fee: 10.into(),
        full_fee: 11.into(),
        max_fee_per_gas: 4.into(),
        gas_limit: 5.into(),
        gas_per_pubdata_limit: 6.into(),
        op_processing_type: OpProcessingType::Common,
        priority_queue_type: PriorityQueueType::Deque,
        canonical_tx_hash: H256::repeat_byte(1),
        to_mint: 7.into(),
        refund_recipient: era::Address::repeat_byte(8),
        eth_block: 9,
    };
    assert_eq!(common, expected);
}

#[test]
fn an_upgrade_keeps_every_field_and_names_a_known_version() {
    let ExecuteTransactionCommon::ProtocolUpgrade(common) =
        transaction(&upgrade_tx(29), false).unwrap().common_data
    else {
        panic!("not an upgrade");
    };
    let expected = ProtocolUpgradeTxCommonData {
        sender: era::Address::repeat_byte(2),
        upgrade_id: V29,
        max_fee_per_gas: 4.into(),
        gas_limit: 5.into(),
        gas_per_pubdata_limit: 6.into(),
        eth_block: 9,
        canonical_tx_hash: H256::repeat_byte(1),
        to_mint: 7.into(),
        refund_recipient: era::Address::repeat_byte(8),
    };
    assert_eq!(common, expected);
    assert!(transaction(&upgrade_tx(31), false).unwrap_err().contains("v31"));
}

#[test]
fn transactions_that_no_vm_can_take_are_refused() {
    let refused = |change: fn(&mut Transaction)| {
        let mut tx = l2_tx();
        change(&mut tx);
        transaction(&tx, false).unwrap_err()
    };
    assert!(refused(|tx| tx.execute.to = None).contains("EVM"));
    assert!(refused(|tx| tx.execute.factory_deps.push(Bytes::from(vec![0; 33]))).contains("dep 1"));
    assert!(refused(|tx| tx.execute.factory_deps.push(Bytes::new())).contains("dep 1"));
    let gas = refused(|tx| {
        if let TxCommon::L2(common) = &mut tx.common {
            common.fee.gas_limit = n(u64::MAX) + n(1);
        }
    });
    assert!(gas.contains("gas limit"), "{gas}");
    let mut evm = l2_tx();
    evm.execute.to = None;
    assert!(transaction(&evm, true).is_ok());
}

#[test]
fn pubdata_has_its_own_price_from_v20_on() {
    let fees = FeeInput { l1_gas_price: 1, fair_l2_gas_price: 2, fair_pubdata_price: Some(3) };
    assert_eq!(fee_input(V19, &fees), Ok(BatchFeeInput::l1_pegged(1, 2)));
    assert_eq!(fee_input(V29, &fees), Ok(BatchFeeInput::pubdata_independent(1, 2, 3)));
    let without = FeeInput { fair_pubdata_price: None, ..fees };
    assert!(fee_input(V29, &without).is_err());
    let overflowing = FeeInput { l1_gas_price: u64::MAX, ..fees };
    assert!(fee_input(V19, &overflowing).is_err());
    assert!(fee_input(V29, &overflowing).is_ok());
}

#[test]
fn commitment_schemes_are_refused() {
    let address = PubdataParams::default();
    assert!(pubdata_params(&address).is_ok());
    let scheme = PubdataParams { validator: DaValidator::Scheme(3), ..address };
    assert!(pubdata_params(&scheme).unwrap_err().contains("v31"));
}

#[test]
fn interop_roots_have_one_side() {
    let root = |sides: usize| InteropRoot {
        chain_id: 5,
        block_number: 6,
        sides: vec![B256::repeat_byte(7); sides],
    };
    let converted = interop_root(&root(1)).unwrap();
    assert_eq!(converted.chain_id.as_u64(), 5);
    assert_eq!(converted.block_number, 6);
    assert_eq!(converted.sides, [H256::repeat_byte(7)]);
    assert!(interop_root(&root(0)).is_err());
    assert!(interop_root(&root(2)).is_err());
}

#[test]
fn reads_are_no_writes() {
    let slot = StorageSlot::new(Address::repeat_byte(1), B256::repeat_byte(2));
    let (key, value) = (storage_key(&slot), H256::repeat_byte(3));
    let logs = [
        StorageLog::new_read_log(key, H256::repeat_byte(9)),
        StorageLog::new_write_log(key, value),
    ];
    assert_eq!(writes(&logs), [StorageWrite { slot, value: B256::repeat_byte(3) }]);
}

#[test]
fn a_heap_is_sorted_and_without_zeros() {
    let word = era::U256::from;
    let memory = [(9, word(1)), (2, word(5)), (3, word(0)), (9, word(7)), (2, word(0))];
    assert_eq!(heap(&memory), Some(vec![(9, n(7))]));
    assert_eq!(heap(&[(1 << 40, word(1))]), None);
}

#[test]
fn a_bytecode_is_refused_for_its_length_as_its_hash_is() {
    for bytes in [0, 1, 31, 32, 33, 63, 64, 65, 96, 65_535 * 32, 65_536 * 32, 65_537 * 32] {
        let code = vec![0; bytes];
        let hashed = lockstep_types::BytecodeHash::of_era(&code);
        let expected = hashed.map(|_hash| ()).map_err(|invalid| invalid.to_string());
        assert_eq!(check_bytecode(&code), expected, "{bytes}");
    }
}
