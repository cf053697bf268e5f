//! Views and writers over a disk in memory.

use std::sync::{Arc, Mutex};

use lockstep_io::{
    Durability, Seq, StoreError, StoreName, Stores, Table, WriteSet, WriteStore,
    store::{Change, CheckpointInfo},
};
use lockstep_io_memory::MemoryStores;
use lockstep_types::{
    Address, B256, BatchClaim, BatchCommitment, BatchHeader, BatchSteps, BatchWrite, BlockHeader,
    BlockParams, Bloom, BytecodeHash, Bytes, ChainId, Commitment, CommitmentInputs, Event,
    Finality, HashedKey, L1BatchNumber, L1Check, L2BlockHash, L2BlockNumber, LeafIndex, Receipt,
    StateRoot, StepTx, StorageSlot, TxHash, TxStatus, U256,
};

use crate::{
    BatchRecord, BlockRecord, ChainIdentity, ChainView, Genesis, LAYOUT, SlotInfo, StoreFault,
    TxPosition, Views, Writers, codec::encode, open, tables,
};

fn key(byte: u8) -> HashedKey {
    HashedKey(B256::repeat_byte(byte))
}

fn value(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub(crate) fn block(number: u32, batch: u32, state: &[(HashedKey, B256)]) -> BlockRecord {
    let params = BlockParams {
        number: L2BlockNumber(number),
        batch: L1BatchNumber(batch),
        is_fictive: false,
        timestamp: Default::default(),
        fee_input: Default::default(),
        base_system_contracts: Default::default(),
        fee_account: Address::ZERO,
        virtual_block_count: 1,
        version: Default::default(),
        pubdata_params: Default::default(),
        pubdata_bytes_max: None,
        interop_roots: Vec::new(),
        settlement_layer: None,
        interop_fee: None,
    };
    let header = BlockHeader {
        params,
        hash: L2BlockHash(value(1_000 + u64::from(number))),
        parent: L2BlockHash(value(999 + u64::from(number))),
        l1_tx_count: 0,
        l2_tx_count: 0,
        first_tx_index_in_batch: 0,
        base_fee_per_gas: 0,
        gas_per_pubdata_limit: 0,
        gas_limit: 0,
        gas_used: 0,
        logs_bloom: Bloom::ZERO,
        event_count: 0,
        l2_to_l1_log_count: 0,
    };
    let (transactions, receipts, bytecodes) = Default::default();
    BlockRecord { header, transactions, receipts, state: state.to_vec(), bytecodes }
}

pub(crate) fn batch(
    number: u32,
    last_block: u32,
    writes: Vec<BatchWrite>,
    first_new: u64,
) -> BatchRecord {
    let header = BatchHeader {
        number: L1BatchNumber(number),
        timestamp: Default::default(),
        version: Default::default(),
        first_block: L2BlockNumber(last_block),
        last_block: L2BlockNumber(last_block),
        l1_tx_count: 0,
        l2_tx_count: 0,
        next_leaf_index: LeafIndex(9),
        priority_ops_hash: B256::ZERO,
    };
    let first_new_index = LeafIndex(first_new);
    BatchRecord { header, writes, first_new_index, commitment_inputs: CommitmentInputs::default() }
}

fn write(byte: u8, index: u64, number: u64) -> BatchWrite {
    BatchWrite { hashed_key: key(byte), leaf_index: LeafIndex(index), value: value(number) }
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        identity: ChainIdentity {
            l2_chain_id: ChainId(1),
            l1_chain_id: ChainId(2),
            genesis_root: StateRoot(value(3)),
            genesis_commitment: Commitment(value(4)),
        },
        block: block(0, 0, &[(key(1), value(1))]),
        batch: batch(0, 0, vec![write(1, 1, 1)], 1),
    }
}

fn started() -> (MemoryStores, Views, Writers) {
    let disk = MemoryStores::new();
    let (views, mut writers) = open(&disk).unwrap();
    writers.chain.persist_genesis(&genesis(), WriteSet::new()).unwrap();
    (disk, views, writers)
}

fn put_raw(disk: &MemoryStores, table: Table, key: &[u8], value: &[u8]) {
    let (_, mut writer) = disk.open(&StoreName("chain".to_owned()), &tables::schema()).unwrap();
    let mut set = WriteSet::new();
    set.put(table, key, value);
    writer.write(set, Durability::Synced).unwrap();
}

#[test]
fn a_value_holds_from_its_block_until_the_next_write() {
    let (_, views, mut writers) = started();
    // Neighbours in byte order must not show through.
    let rows =
        |number| [(key(4), value(number + 100)), (key(5), value(number)), (key(6), value(7))];
    for (number, rows) in [(255, &rows(1)[..2]), (256, &rows(2)[..2]), (70_000, &rows(3)[..])] {
        writers.chain.persist_block(&block(number, 1, rows), None).unwrap();
    }
    let view = views.now();
    let at = |byte, number| view.value_at(&key(byte), L2BlockNumber(number)).unwrap();
    for (number, expected) in [
        (0, 0),
        (254, 0),
        (255, 1),
        (256, 2),
        (257, 2),
        (69_999, 2),
        (70_000, 3),
        (70_001, 3),
        (u32::MAX, 3),
    ] {
        assert_eq!(at(5, number), value(expected), "at block {number}");
    }
    assert_eq!((at(6, 69_999), at(6, 70_000), at(7, u32::MAX)), (value(0), value(7), value(0)));
    assert_eq!((at(1, 0), at(4, 254), at(4, 255)), (value(1), value(0), value(101)));
    assert_eq!(view.head().unwrap(), Some(L2BlockNumber(70_000)));

    writers.chain.persist_block(&block(70_001, 1, &[(key(5), value(9))]), None).unwrap();
    assert_eq!(at(5, u32::MAX), value(3), "a view sees a later write");
    let later = views.now().value_at(&key(5), L2BlockNumber(70_001)).unwrap();
    assert_eq!(later, value(9));
}

#[test]
fn a_row_that_is_no_value_is_corrupt() {
    let (disk, views, writers) = started();
    drop((views, writers));
    let at = [&key(5).bytes()[..], &3_u32.to_be_bytes()].concat();
    put_raw(&disk, tables::STATE, &at, &[1; 31]);
    put_raw(&disk, tables::BLOCKS, &7_u32.to_be_bytes(), &[1, 2, 3]);
    put_raw(&disk, tables::SLOTS, key(5).bytes(), &[]);
    let (views, _writers) = open(&disk).unwrap();
    let view = views.now();
    let table_of = |fault: StoreFault| match fault {
        StoreFault::Corrupt { table, .. } => table,
        other @ (StoreFault::Disk(_) | StoreFault::Layout { .. }) => panic!("{other}"),
    };
    assert_eq!(table_of(view.value_at(&key(5), L2BlockNumber(3)).unwrap_err()), "state");
    assert_eq!(view.value_at(&key(5), L2BlockNumber(2)), Ok(B256::ZERO));
    assert_eq!(table_of(view.block(L2BlockNumber(7)).unwrap_err()), "blocks");
    assert_eq!(table_of(view.slot_info(&key(5)).unwrap_err()), "slots");
    assert_eq!(table_of(view.slot_infos(&[key(1), key(5)]).unwrap_err()), "slots");
}

#[test]
fn code_is_found_under_construction_too() {
    let (_, views, mut writers) = started();
    let (plain, under_way, gone) =
        (Address::repeat_byte(1), Address::repeat_byte(2), Address::repeat_byte(3));
    let code = Bytes::from(vec![7; 32]);
    let hash = BytecodeHash::of_era(&code).unwrap();
    let mut constructing = hash;
    constructing.0[1] = 1;
    let slot = |account| StorageSlot::code_hash(account).hashed_key();
    let mut rows = vec![
        (slot(plain), hash.0),
        (slot(under_way), constructing.0),
        (slot(gone), B256::repeat_byte(9)),
    ];
    rows.sort_unstable();
    let mut record = block(3, 1, &rows);
    record.bytecodes = vec![(hash, code.clone())];
    writers.chain.persist_block(&record, None).unwrap();
    let view = views.now();
    for account in [plain, under_way] {
        assert_eq!(view.code_at(account, L2BlockNumber(2)).unwrap(), None);
        let (found, stored) = view.code_at(account, L2BlockNumber(3)).unwrap().unwrap();
        assert_eq!((found, stored.since, stored.code), (hash, L2BlockNumber(3), code.clone()));
    }
    assert_eq!(view.code_at(gone, L2BlockNumber(3)).unwrap(), None);
    assert_eq!(view.code_at(Address::ZERO, L2BlockNumber(3)).unwrap(), None);
}

#[test]
fn what_is_not_there_is_none() {
    let (_, views, _writers) = started();
    let view = views.now();
    let (block, batch) = (L2BlockNumber(5), L1BatchNumber(5));
    let position = TxPosition { block, index: 0 };
    assert_eq!(view.block(block), Ok(None));
    assert_eq!(view.block_number(&L2BlockHash(value(5))), Ok(None));
    assert_eq!(view.tx_position(&TxHash(value(5))), Ok(None));
    assert_eq!(view.transaction(position), Ok(None));
    assert_eq!(view.transactions(block), Ok(vec![]));
    assert_eq!(view.receipt(position), Ok(None));
    assert_eq!(view.receipts(block), Ok(vec![]));
    assert_eq!(view.slot_info(&key(5)), Ok(None));
    assert_eq!(view.bytecode(&BytecodeHash(value(5))), Ok(None));
    assert_eq!(view.batch(batch), Ok(None));
    assert_eq!(view.batch_writes(batch), Ok(None));
    assert_eq!(view.commitment_inputs(batch), Ok(None));
    assert_eq!(view.claim(batch), Ok(None));
    assert_eq!(view.steps(batch), Ok(BatchSteps::default()));
    assert_eq!(view.agreed_batch(), Ok(None));
}

#[test]
fn receipts_belong_to_their_block_alone() {
    let (_, views, mut writers) = started();
    let receipt = |gas_refunded| Receipt { gas_refunded, ..receipt(&[]) };
    // More than fit in a byte, and blocks whose keys are neighbours.
    let all: Vec<_> = (0..300).map(receipt).collect();
    for number in [255, 256, u32::MAX] {
        let record = BlockRecord { receipts: all.clone(), ..block(number, 1, &[]) };
        writers.chain.persist_block(&record, None).unwrap();
    }
    let view = views.now();
    for number in [255, 256, u32::MAX] {
        assert_eq!(view.receipts(L2BlockNumber(number)).unwrap(), all);
        let position = TxPosition { block: L2BlockNumber(number), index: 299 };
        assert_eq!(view.receipt(position).unwrap(), Some(receipt(299)));
    }
    assert_eq!(view.receipts(L2BlockNumber(257)), Ok(vec![]));
}

#[test]
fn only_initial_writes_make_slots_known() {
    let (_, views, mut writers) = started();
    let record = batch(1, 3, vec![write(1, 1, 5), write(2, 2, 6), write(3, 3, 7)], 2);
    writers.chain.persist_block(&block(3, 1, &[]), Some(&record)).unwrap();
    let view = views.now();
    let info =
        |index, batch| Some(SlotInfo { leaf_index: LeafIndex(index), batch: L1BatchNumber(batch) });
    let expected = vec![info(3, 1), None, info(1, 0), info(2, 1)];
    assert_eq!(view.slot_infos(&[key(3), key(9), key(1), key(2)]), Ok(expected));
    assert_eq!(view.slot_infos(&[]), Ok(vec![]));
    assert_eq!(view.sealed_batch(), Ok(Some(L1BatchNumber(1))));
    assert_eq!(view.batch_writes(L1BatchNumber(1)), Ok(Some(record.writes)));
}

#[test]
fn claims_and_steps_are_read_as_written() {
    let (_, views, mut writers) = started();
    let claim = |number, root| BatchClaim { number: L1BatchNumber(number), root, commitment: None };
    let claims = [claim(1, Some(StateRoot(value(1)))), claim(2, None)];
    writers.claims.persist(&claims, None).unwrap();
    assert_eq!(views.now().agreed_batch(), Ok(None));
    writers.claims.persist(&[], Some(L1BatchNumber(1))).unwrap();
    let tx = StepTx {
        tx_hash: value(5),
        at: "2024-01-01T00:00:00Z".to_owned(),
        chain_id: ChainId(9),
        finality: Finality::Pending,
    };
    let steps = BatchSteps { commit: Some(tx), ..BatchSteps::default() };
    writers.steps.persist(&[(L1BatchNumber(2), steps.clone())]).unwrap();
    let view = views.now();
    assert_eq!(view.claim(L1BatchNumber(1)), Ok(Some(claims[0])));
    assert_eq!(view.claim(L1BatchNumber(2)), Ok(Some(claims[1])));
    assert_eq!(view.agreed_batch(), Ok(Some(L1BatchNumber(1))));
    assert_eq!(view.steps(L1BatchNumber(2)), Ok(steps));
}

fn commitment(number: u32) -> BatchCommitment {
    BatchCommitment {
        number: L1BatchNumber(number),
        commitment: Commitment(value(u64::from(number))),
        pass_through_hash: value(1),
        meta_hash: value(2),
        aux_hash: value(3),
        l2_to_l1_root: value(4),
        diffs: None,
    }
}

#[test]
fn the_newest_commitment_and_the_newest_check_are_found() {
    let (_disk, views, mut writers) = started();
    assert_eq!(views.now().newest_commitment().unwrap(), None);
    writers.commitments.persist(&[commitment(255), commitment(256)]).unwrap();
    let check = L1Check::NotChecked { settles_on: ChainId(5) };
    writers.l1_checks.persist(&[(L1BatchNumber(1), check)]).unwrap();
    let claim = BatchClaim { number: L1BatchNumber(3), root: None, commitment: None };
    writers.claims.persist_compared(&[claim], L1BatchNumber(3)).unwrap();
    let view = views.now();
    assert_eq!(view.newest_commitment().unwrap(), Some(L1BatchNumber(256)));
    assert_eq!(view.commitment(L1BatchNumber(255)).unwrap(), Some(commitment(255)));
    assert_eq!(view.newest_l1_check().unwrap(), Some(L1BatchNumber(1)));
    assert_eq!(view.l1_check(L1BatchNumber(1)).unwrap(), Some(check));
    assert_eq!(view.compared_batch().unwrap(), Some(L1BatchNumber(3)));
    assert_eq!(view.claim(L1BatchNumber(3)).unwrap(), Some(claim));
}

#[test]
fn another_layout_is_refused_and_nothing_else_is_read() {
    let (disk, views, writers) = started();
    drop((views, writers));
    open(&disk).unwrap();
    put_raw(&disk, tables::META, b"layout", &encode(&(LAYOUT + 1)));
    put_raw(&disk, tables::META, b"chain", b"of another shape");
    let fault = open(&disk).unwrap_err();
    assert_eq!(fault, StoreFault::Layout { found: LAYOUT + 1, expected: LAYOUT });
}

/// Notes every write set, and fails when told to.
#[derive(Clone, Debug, Default)]
struct Notebook {
    sets: Arc<Mutex<Vec<(WriteSet, Durability)>>>,
    fails: bool,
}

impl WriteStore for Notebook {
    fn write(&mut self, set: WriteSet, durability: Durability) -> Result<Seq, StoreError> {
        self.sets.lock().unwrap().push((set, durability));
        if self.fails { Err(StoreError::Full("no room".to_owned())) } else { Ok(Seq(1)) }
    }

    fn sync(&mut self) -> Result<Seq, StoreError> {
        Err(StoreError::Poisoned)
    }

    fn write_unlogged(&mut self, _set: WriteSet) -> Result<(), StoreError> {
        Err(StoreError::Poisoned)
    }

    fn flush_unlogged(&mut self) -> Result<Seq, StoreError> {
        Err(StoreError::Poisoned)
    }

    fn checkpoint(&mut self, _to: &StoreName) -> Result<CheckpointInfo, StoreError> {
        Err(StoreError::Poisoned)
    }
}

fn table_names(set: &WriteSet) -> Vec<&'static str> {
    let name = |change: &Change| match change {
        Change::Put { table, .. } | Change::Delete { table, .. } => table.name,
        Change::DeleteRange { table, .. } => table.name,
    };
    let mut names: Vec<_> = set.changes.iter().map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn genesis_is_one_durable_write_set_with_the_tree_in_it() {
    let notes = Notebook::default();
    let mut writers = Writers::new(Box::new(notes.clone()), Arc::default());
    let mut tree = WriteSet::new();
    tree.put(tables::TREE_ROOTS, [0; 4], [1]);
    writers.chain.persist_genesis(&genesis(), tree).unwrap();
    let sets = notes.sets.lock().unwrap();
    let [(set, durability)] = &sets[..] else { panic!("{} write sets", sets.len()) };
    assert_eq!(*durability, Durability::Synced);
    let expected = [
        "batch_writes",
        "batches",
        "block_numbers",
        "block_writes",
        "blocks",
        "commitment_inputs",
        "cursors",
        "meta",
        "slots",
        "state",
        "tree_roots",
    ];
    assert_eq!(table_names(set), expected);
}

#[test]
fn a_block_goes_with_its_batch_and_the_cursors_in_one_write_set() {
    let notes = Notebook::default();
    let mut writers = Writers::new(Box::new(notes.clone()), Arc::default());
    let record = batch(1, 3, vec![write(2, 2, 6)], 2);
    let mut last = block(3, 1, &[(key(2), value(6))]);
    last.receipts = vec![receipt(&[(1, &[2])])];
    writers.chain.persist_block(&last, Some(&record)).unwrap();
    let sets = notes.sets.lock().unwrap();
    let [(set, _)] = &sets[..] else { panic!("{} write sets", sets.len()) };
    let expected = [
        "batch_writes",
        "batches",
        "block_numbers",
        "block_writes",
        "blocks",
        "commitment_inputs",
        "cursors",
        "log_index",
        "receipts",
        "slots",
        "state",
    ];
    assert_eq!(table_names(set), expected);
}

#[test]
fn genesis_that_failed_is_an_empty_data_directory() {
    let failing = Notebook { fails: true, ..Notebook::default() };
    let mut writers = Writers::new(Box::new(failing), Arc::default());
    let full = StoreFault::Disk(StoreError::Full("no room".to_owned()));
    assert_eq!(writers.chain.persist_genesis(&genesis(), WriteSet::new()), Err(full));

    let disk = MemoryStores::new();
    let (views, mut writers) = open(&disk).unwrap();
    let nothing = |view: &ChainView| {
        assert_eq!(
            (view.identity(), view.head(), view.sealed_batch()),
            (Ok(None), Ok(None), Ok(None))
        );
        let rows: usize = tables::ALL.iter().map(|table| view.dump(*table).count()).sum();
        assert_eq!(rows, 0);
    };
    nothing(&views.now());
    // A change of the tree that the disk refuses takes all of genesis with it.
    let mut foreign = WriteSet::new();
    foreign.put(Table { index: 99, name: "foreign", prefix_bytes: None }, [1], [1]);
    assert!(writers.chain.persist_genesis(&genesis(), foreign).is_err());
    nothing(&views.now());
    let poisoned = writers.chain.persist_genesis(&genesis(), WriteSet::new());
    assert_eq!(poisoned, Err(StoreFault::Disk(StoreError::Poisoned)));

    drop((views, writers));
    let (views, mut writers) = open(&disk).unwrap();
    nothing(&views.now());
    writers.chain.persist_genesis(&genesis(), WriteSet::new()).unwrap();
    let view = views.now();
    assert_eq!(view.identity(), Ok(Some(genesis().identity)));
    assert_eq!(
        (view.head(), view.sealed_batch()),
        (Ok(Some(L2BlockNumber(0))), Ok(Some(L1BatchNumber(0))))
    );
    assert_eq!(view.block_number(&genesis().block.header.hash), Ok(Some(L2BlockNumber(0))));
}

#[test]
fn a_second_opening_is_refused_while_the_first_lives() {
    let (disk, views, writers) = started();
    assert!(matches!(open(&disk), Err(StoreFault::Disk(StoreError::Locked(_)))));
    drop((views, writers));
    assert!(open(&disk).is_ok());
}

/// A receipt with events of contracts, each with topics.
pub(crate) fn receipt(events: &[(u8, &[u8])]) -> Receipt {
    let event = |(address, topics): &(u8, &[u8])| Event {
        address: Address::repeat_byte(*address),
        topics: topics.iter().map(|topic| B256::repeat_byte(*topic)).collect(),
        data: Bytes::new(),
    };
    Receipt {
        status: TxStatus::Success,
        gas_refunded: 0,
        contract_address: None,
        first_event_index: 0,
        events: events.iter().map(event).collect(),
        first_l2_to_l1_log_index: 0,
        l2_to_l1_logs: Vec::new(),
    }
}

/// A chain of three batches of two blocks, as far as block `until`. Blocks 2 and 4 end theirs.
fn follow(writers: &mut Writers, until: u32) {
    let at = |number: u32| u64::from(number) * 10;
    for number in 1..=until {
        let (batch_number, own) = (number.div_ceil(2), u8::try_from(number).unwrap());
        let rows = [(key(1), value(at(number))), (key(10 + own), value(5))];
        let mut record = block(number, batch_number, &rows);
        let code = |byte: u8| (BytecodeHash(B256::repeat_byte(byte)), Bytes::from(vec![byte; 9]));
        record.bytecodes = vec![code(own)];
        record.receipts = vec![receipt(&[(1, &[own]), (own, &[1, 2])]), receipt(&[(1, &[])])];
        let ends = number % 2 == 0;
        let first_new = u64::from(number);
        let sealed = ends.then(|| {
            let writes = vec![
                write(1, 1, at(number)),
                write(9 + own, first_new, 5),
                write(10 + own, first_new + 1, 5),
            ];
            let mut record = batch(batch_number, number, writes, first_new);
            record.header.next_leaf_index = LeafIndex(first_new + 2);
            record
        });
        writers.chain.persist_block(&record, sealed.as_ref()).unwrap();
        if ends {
            let mut set = WriteSet::new();
            set.put(tables::TREE_ROOTS, batch_number.to_be_bytes(), [1]);
            writers.tree.persist(set).unwrap();
            let number = L1BatchNumber(batch_number);
            let claim = BatchClaim { number, root: None, commitment: None };
            writers.claims.persist(&[claim], Some(number)).unwrap();
            writers.steps.persist(&[(number, BatchSteps::default())]).unwrap();
            writers.commitments.persist(&[commitment(number.0)]).unwrap();
            writers.claims.persist_compared(&[], number).unwrap();
            let check = L1Check::Equal { tx_hash: value(9) };
            writers.l1_checks.persist(&[(number, check)]).unwrap();
        }
    }
}

/// A disk with that chain.
fn followed(until: u32) -> (MemoryStores, Views, Writers) {
    let disk = MemoryStores::new();
    let (views, mut writers) = open(&disk).unwrap();
    let mut start = genesis();
    start.batch.header.next_leaf_index = LeafIndex(2);
    writers.chain.persist_genesis(&start, WriteSet::new()).unwrap();
    follow(&mut writers, until);
    (disk, views, writers)
}

fn everything(view: &ChainView) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    tables::ALL.iter().map(|table| view.dump(*table).map(Result::unwrap).collect()).collect()
}

fn without_tree(to: u32) -> WriteSet {
    let mut set = WriteSet::new();
    set.delete_range(tables::TREE_ROOTS, lockstep_io::KeyRange::from((to + 1).to_be_bytes()));
    set
}

#[test]
fn a_rollback_leaves_what_following_so_far_leaves() {
    for until in 0..=6 {
        for to in 0..=until / 2 {
            for changes_max in [0, 4, 8, 100] {
                let (_, views, mut writers) = followed(until);
                let before = views.now();
                let shown = everything(&before);
                let begun = L1BatchNumber(to);
                writers.rollback.begin(&views.now(), begun, without_tree(to)).unwrap();
                assert_eq!(views.now().rollback_target(), Ok(Some(begun)));
                assert_eq!(writers.rollback.finish(&views, changes_max), Ok(Some(begun)));
                let (_, expected, _keep) = followed(to * 2);
                assert_eq!(everything(&views.now()), everything(&expected.now()), "{until} {to}");
                assert_eq!(writers.rollback.finish(&views, changes_max), Ok(None));
                assert_eq!(everything(&before), shown, "a view keeps what it shows");
            }
        }
    }
}

#[test]
fn a_rollback_passes_only_through_chains_that_could_have_been_followed() {
    let (_, views, mut writers) = followed(6);
    writers.rollback.begin(&views.now(), L1BatchNumber(1), without_tree(1)).unwrap();
    let begun = everything(&views.now());
    drop((views, writers));

    let notes = Notebook::default();
    let (_, views, mut writers) = followed(6);
    writers.rollback.begin(&views.now(), L1BatchNumber(1), without_tree(1)).unwrap();
    assert_eq!(everything(&views.now()), begun);
    // What finishing would write first, a block at a time: blocks 6, 5, 4 and 3.
    let mut heads = Vec::new();
    for _ in 0..4 {
        let mut other =
            Writers::new(Box::new(Notebook { fails: true, ..notes.clone() }), Arc::default());
        assert!(other.rollback.finish(&views, 0).is_err());
        let (set, durability) = notes.sets.lock().unwrap().pop().unwrap();
        assert_eq!(durability, Durability::Buffered);
        writers.tree.persist(set).unwrap();
        let view = views.now();
        let head = view.head().unwrap().unwrap();
        let (_, expected, _keep) = followed(head.0);
        for table in [
            tables::BLOCKS,
            tables::BLOCK_NUMBERS,
            tables::STATE,
            tables::SLOTS,
            tables::BLOCK_WRITES,
            tables::RECEIPTS,
            tables::LOG_INDEX,
            tables::BATCHES,
            tables::BATCH_WRITES,
            tables::COMMITMENT_INPUTS,
        ] {
            let rows = |view: &ChainView| view.dump(table).map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(rows(&view), rows(&expected.now()), "{} at {head}", table.name);
        }
        assert_eq!(view.sealed_batch(), expected.now().sealed_batch());
        heads.push(head.0);
    }
    assert_eq!(heads, [5, 4, 3, 2]);
}

#[test]
fn writers_that_were_taken_back_write_nothing() {
    let (_, views, writers) = followed(2);
    let Writers { mut chain, mut tree, mut claims, mut steps, rollback, .. } = writers;
    let (mut commitments, mut l1_checks) = (writers.commitments, writers.l1_checks);
    let before = everything(&views.now());
    let mut anew = rollback.renew().unwrap();
    let fenced = Err(StoreFault::Disk(StoreError::Fenced));
    assert_eq!(chain.persist_block(&block(3, 2, &[]), None), fenced);
    assert_eq!(tree.persist(without_tree(0)), fenced);
    assert_eq!(claims.persist(&[], Some(L1BatchNumber(1))), fenced);
    assert_eq!(steps.persist(&[]), fenced);
    assert_eq!(commitments.persist(&[]), fenced);
    assert_eq!(l1_checks.persist(&[]), fenced);
    assert_eq!(everything(&views.now()), before);
    anew.chain.persist_block(&block(3, 2, &[]), None).unwrap();
    assert_eq!(views.now().head(), Ok(Some(L2BlockNumber(3))));
}

#[test]
fn the_newest_final_batch_is_found() {
    let (_, views, mut writers) = followed(6);
    assert_eq!(views.now().final_batch(), Ok(L1BatchNumber(0)));
    for number in 1..=3 {
        let tx = StepTx {
            tx_hash: value(7),
            at: String::new(),
            chain_id: ChainId(1),
            finality: Finality::Finalized,
        };
        let steps = BatchSteps { execute: Some(tx), ..BatchSteps::default() };
        writers.steps.persist(&[(L1BatchNumber(number), steps)]).unwrap();
        assert_eq!(views.now().final_batch(), Ok(L1BatchNumber(number)));
    }
}

#[test]
fn a_view_is_the_same_until_something_is_written() {
    let (_, views, mut writers) = followed(2);
    let seq = |view: &ChainView| view.raw().seq();
    let before = views.now();
    assert_eq!(before.head(), Ok(Some(L2BlockNumber(2))));
    assert_eq!(seq(&before), seq(&views.now()));
    writers.chain.persist_block(&block(3, 2, &[]), None).unwrap();
    let after = views.now();
    assert!(seq(&before) < seq(&after));
    assert_eq!(before.head(), Ok(Some(L2BlockNumber(2))), "a view keeps what it shows");
    assert_eq!(after.head(), Ok(Some(L2BlockNumber(3))));
}

#[test]
fn a_rollback_begins_a_generation_and_nothing_else_does() {
    let (_, views, mut writers) = followed(6);
    let before = views.now();
    writers.rollback.begin(&before, L1BatchNumber(3), without_tree(3)).unwrap();
    assert_eq!(views.now().generation(), before.generation());
    writers.rollback.finish(&views, 100).unwrap();
    let after = views.now().generation();
    assert_ne!(after, before.generation());
    writers.chain.persist_block(&block(7, 4, &[]), None).unwrap();
    assert_eq!(writers.rollback.finish(&views, 100), Ok(None));
    assert_eq!(views.now().generation(), after);
    let mut renewed = writers.rollback.renew().unwrap();
    renewed.rollback.begin(&views.now(), L1BatchNumber(3), without_tree(3)).unwrap();
    renewed.rollback.finish(&views, 100).unwrap();
    assert_ne!(views.now().generation(), after, "also by writers that took the place of others");
}

#[test]
fn what_is_in_memory_is_what_is_there() {
    let (_, views, _writers) = followed(4);
    let view = views.now();
    let (quick, shortfall) = view.in_memory(100).unwrap();
    assert_eq!(quick.head(), view.head());
    assert_eq!(quick.block(L2BlockNumber(3)), view.block(L2BlockNumber(3)));
    assert_eq!(quick.generation(), view.generation());
    assert!(!shortfall.is_met());
    let (quick, shortfall) = view.in_memory(0).unwrap();
    let not_in_memory = Err(StoreFault::Disk(StoreError::NotInMemory));
    assert_eq!(quick.receipts(L2BlockNumber(3)), not_in_memory);
    assert!(shortfall.is_met());
}
