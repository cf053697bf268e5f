//! Blocks that are not what they claim to be.

use lockstep_types::{
    Address, B256, BaseSystemContracts, BlockParams, BytecodeHash, ChainId, DaValidator, Execute,
    FeeInput, InteropRoot, L1BatchNumber, L2BlockHash, L2BlockNumber, PriorityCommon,
    ProtocolVersion, PubdataParams, PubdataType, Transaction, TxCommon, TxHash, U256, UnixSeconds,
    block::{BlockHashInput, block_hash},
    transaction::ObsoletePriority,
};
use lockstep_wire::{SyncBlock, SyncBlockParts, TxMismatch, check_transaction};

use crate::{BlockLie, check_block};

const CHAIN: ChainId = ChainId(270);
const NUMBER: L2BlockNumber = L2BlockNumber(5);
const PARENT: L2BlockHash = L2BlockHash(B256::repeat_byte(0xaa));

fn params(is_fictive: bool) -> BlockParams {
    BlockParams {
        number: NUMBER,
        batch: L1BatchNumber(2),
        is_fictive,
        timestamp: UnixSeconds(1_750_000_000),
        fee_input: FeeInput { l1_gas_price: 1, fair_l2_gas_price: 2, fair_pubdata_price: Some(3) },
        base_system_contracts: BaseSystemContracts {
            bootloader: BytecodeHash(B256::repeat_byte(1)),
            default_account: BytecodeHash(B256::repeat_byte(2)),
            evm_emulator: None,
        },
        fee_account: Address::repeat_byte(3),
        virtual_block_count: 1,
        version: ProtocolVersion(29),
        pubdata_params: PubdataParams {
            validator: DaValidator::Address(Address::repeat_byte(4)),
            pubdata_type: PubdataType::Rollup,
        },
        pubdata_bytes_max: None,
        interop_roots: Vec::new(),
        settlement_layer: None,
        interop_fee: None,
    }
}

/// A priority operation with its true hash.
fn priority(serial_id: u64) -> Transaction {
    let mut tx = Transaction {
        common: TxCommon::Priority(Box::new(PriorityCommon {
            hash: TxHash::default(),
            sender: Address::repeat_byte(5),
            serial_id,
            max_fee_per_gas: U256::from(100),
            gas_limit: U256::from(200),
            gas_per_pubdata_limit: U256::from(800),
            to_mint: U256::from(300),
            refund_recipient: Address::repeat_byte(6),
            eth_block: 7,
            obsolete: ObsoletePriority::default(),
        })),
        execute: Execute {
            to: Some(Address::repeat_byte(8)),
            calldata: vec![1, 2, 3].into(),
            value: U256::from(9),
            factory_deps: vec![vec![7; 32].into()],
        },
        received_at_ms: 0,
        raw: None,
    };
    // Whoever refuses a wrong hash says the right one.
    let Err(TxMismatch::Field { recomputed, .. }) = check_transaction(&tx, CHAIN) else {
        panic!("zero is not the hash of anything")
    };
    change_priority(&mut tx, |common| common.hash = TxHash(recomputed.parse().unwrap()));
    tx
}

fn change_priority(tx: &mut Transaction, change: impl FnOnce(&mut PriorityCommon)) {
    match &mut tx.common {
        TxCommon::Priority(common) => change(common),
        TxCommon::L2(_) | TxCommon::Upgrade(_) => panic!("not a priority operation"),
    }
}

/// A block as the main node hands it on, with its true hash.
fn block(is_fictive: bool, transactions: Vec<Transaction>) -> SyncBlockParts {
    let params = params(is_fictive);
    let tx_hashes: Vec<_> = transactions.iter().map(Transaction::hash).collect();
    let input = BlockHashInput {
        number: params.number,
        timestamp: params.timestamp,
        parent: PARENT,
        tx_hashes: &tx_hashes,
    };
    let claimed_hash = Some(block_hash(&input, params.version));
    SyncBlockParts { params, claimed_hash, transactions: Some(transactions) }
}

fn with_two() -> SyncBlockParts {
    block(false, vec![priority(0), priority(1)])
}

fn check(block: SyncBlock) -> Result<lockstep_types::FetchedBlock, BlockLie> {
    check_block(block, NUMBER, PARENT, CHAIN)
}

/// What is wrong with a good block after `change`.
fn lie(
    mut block: SyncBlockParts,
    change: impl FnOnce(&mut BlockParams, &mut Vec<Transaction>),
) -> BlockLie {
    check(block.to_json()).unwrap();
    change(&mut block.params, block.transactions.as_mut().unwrap());
    check(block.to_json()).unwrap_err()
}

#[test]
fn good_blocks_pass() {
    for block in [with_two(), block(true, Vec::new())] {
        let checked = check(block.to_json()).unwrap();
        assert_eq!(checked.params, block.params);
        assert_eq!(Some(checked.hash), block.claimed_hash);
        assert_eq!(checked.parent, PARENT);
        assert_eq!(Some(checked.transactions), block.transactions);
    }
}

#[test]
fn a_block_without_a_hash_gets_the_one_that_it_has() {
    let block = with_two();
    let without = SyncBlock { hash: None, ..block.to_json() };
    assert_eq!(Some(check(without).unwrap().hash), block.claimed_hash);
}

#[test]
fn the_form_of_a_block_is_checked() {
    assert!(matches!(
        check_block(with_two().to_json(), NUMBER.next(), PARENT, CHAIN),
        Err(BlockLie::OtherNumber { expected: L2BlockNumber(6), got: NUMBER })
    ));
    let without = SyncBlock { transactions: None, ..with_two().to_json() };
    assert_eq!(check(without), Err(BlockLie::NoTransactions(NUMBER)));
    assert_eq!(lie(with_two(), |_, txs| txs.clear()), BlockLie::Empty(NUMBER));
    let fictive = || block(true, Vec::new());
    assert_eq!(lie(fictive(), |params, _| params.is_fictive = false), BlockLie::Empty(NUMBER));
    let what = "transactions";
    let not_empty = BlockLie::NotEmpty { block: NUMBER, what };
    assert_eq!(lie(with_two(), |params, _| params.is_fictive = true), not_empty);
    let root = InteropRoot { chain_id: 1, block_number: 2, sides: vec![B256::ZERO] };
    let not_empty = BlockLie::NotEmpty { block: NUMBER, what: "interop roots" };
    assert_eq!(lie(fictive(), |params, _| params.interop_roots.push(root)), not_empty);
    let unreadable = SyncBlock { fair_pubdata_price: None, ..with_two().to_json() };
    assert!(matches!(check(unreadable), Err(BlockLie::Unreadable(_))));
}

#[test]
fn what_the_hash_of_a_block_covers_cannot_be_changed() {
    let is_hash = |lie: BlockLie| assert!(matches!(lie, BlockLie::Hash { .. }), "{lie}");
    is_hash(lie(with_two(), |params, _| params.timestamp.0 += 1));
    is_hash(lie(with_two(), |_, txs| txs.reverse()));
    is_hash(lie(with_two(), |_, txs| drop(txs.pop())));
    is_hash(lie(with_two(), |_, txs| txs.push(priority(2))));
    is_hash(lie(with_two(), |_, txs| txs.push(priority(1))));
    is_hash(lie(with_two(), |_, txs| txs[1] = priority(2)));
    is_hash(lie(block(true, Vec::new()), |params, _| params.timestamp.0 -= 1));
    let mut wrong = with_two();
    wrong.claimed_hash = Some(PARENT);
    is_hash(check(wrong.to_json()).unwrap_err());
    let other_parent = check_block(with_two().to_json(), NUMBER, L2BlockHash::default(), CHAIN);
    is_hash(other_parent.unwrap_err());
    // The number, too: as block 6 it would have another hash.
    let mut moved = with_two();
    moved.params.number = NUMBER.next();
    is_hash(check_block(moved.to_json(), NUMBER.next(), PARENT, CHAIN).unwrap_err());
}

#[test]
fn what_the_hash_of_a_transaction_covers_cannot_be_changed() {
    type Change = fn(&mut Transaction);
    let changes: [Change; 13] = [
        |tx| change_priority(tx, |common| common.hash = TxHash::default()),
        |tx| change_priority(tx, |common| common.sender = Address::ZERO),
        |tx| change_priority(tx, |common| common.serial_id += 1),
        |tx| change_priority(tx, |common| common.max_fee_per_gas += U256::ONE),
        |tx| change_priority(tx, |common| common.gas_limit += U256::ONE),
        |tx| change_priority(tx, |common| common.gas_per_pubdata_limit += U256::ONE),
        |tx| change_priority(tx, |common| common.to_mint += U256::ONE),
        |tx| change_priority(tx, |common| common.refund_recipient = Address::ZERO),
        |tx| tx.execute.to = None,
        |tx| tx.execute.calldata = vec![1, 2].into(),
        |tx| tx.execute.value += U256::ONE,
        |tx| tx.execute.factory_deps[0] = vec![8; 32].into(),
        |tx| tx.execute.factory_deps.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let lie = lie(with_two(), |_, txs| change(&mut txs[1]));
        assert!(matches!(lie, BlockLie::Transaction { index: 1, .. }), "change {number}: {lie}");
    }
}

#[test]
fn what_no_hash_covers_passes_here_and_is_left_to_execution() {
    let mut block = with_two();
    block.params.fee_input.l1_gas_price += 1;
    block.params.fee_account = Address::ZERO;
    block.params.batch = L1BatchNumber(3);
    change_priority(&mut block.transactions.as_mut().unwrap()[0], |common| common.eth_block = 0);
    assert_eq!(check(block.to_json()).unwrap().params, block.params);
}

#[test]
fn old_blocks_have_the_hash_of_their_number() {
    let mut block = block(true, Vec::new());
    block.params.version = ProtocolVersion(12);
    block.claimed_hash = Some(lockstep_types::block::legacy_block_hash(NUMBER));
    check(block.to_json()).unwrap();
    block.params.version = ProtocolVersion(13);
    assert!(matches!(check(block.to_json()), Err(BlockLie::Hash { .. })));
}
