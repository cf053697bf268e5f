//! Protects the time that the tree adds to a batch: 1,000 writes, half of them new slots, on a tree
//! of 1,000,000 leaves, from the call to what is persisted.
//!
//! In memory it is the tree's own work; on RocksDB, with a cache that holds only the top of the
//! tree, it is that and the reads.

use std::{hint::black_box, mem};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockstep_benches::AllCores;
use lockstep_io::{Durability, ReadStore, StoreName, Stores, WriteStore};
use lockstep_io_memory::MemoryStores;
use lockstep_io_rocks::{RocksConfig, RocksStores};
use lockstep_store::tables::schema;
use lockstep_tree::{Tree, TreeConfig, proof};
use lockstep_types::{B256, BatchWrite, HashedKey, LeafIndex, U256, keccak256};

const LEAVES: u64 = 1_000_000;
const FILL_BATCH_WRITES: u64 = 10_000;
const BATCH_WRITES: u64 = 1_000;

/// A tree with its store.
struct Grown {
    reader: std::sync::Arc<dyn ReadStore>,
    writer: Box<dyn WriteStore>,
    tree: Tree,
}

impl Grown {
    fn new(stores: &dyn Stores, cache_bytes: usize) -> Self {
        let (reader, writer) =
            stores.open(&StoreName("tree".to_owned()), &schema()).expect("the store opens");
        let tree =
            Tree::open(&*reader.view(), TreeConfig { cache_bytes }).expect("the store is empty");
        let mut grown = Self { reader, writer, tree };
        for first in (0..LEAVES).step_by(usize::try_from(FILL_BATCH_WRITES).expect("it is small")) {
            let slots = first..first + FILL_BATCH_WRITES;
            grown.extend(&slots.map(|slot| write(slot, 1)).collect::<Vec<_>>());
        }
        grown
    }

    /// New slots, and as many old ones spread over the tree.
    fn next_writes(&self) -> Vec<BatchWrite> {
        let first = self.tree.root().leaf_count;
        let new = first..first + BATCH_WRITES / 2;
        let old = (0..BATCH_WRITES / 2).map(|n| (first * 7919 + n * 1999) % LEAVES);
        let mut writes: Vec<_> = new.chain(old).map(|slot| write(slot, first)).collect();
        writes.sort_by_key(|write| write.hashed_key);
        writes.dedup_by_key(|write| write.hashed_key);
        writes
    }

    fn extend(&mut self, writes: &[BatchWrite]) {
        let view = self.reader.view();
        let batch = self.tree.next_batch();
        let mut extension =
            self.tree.extend(&*view, batch, writes, &AllCores).expect("the writes are right");
        let set = mem::take(&mut extension.write_set);
        self.writer.write(set, Durability::Buffered).expect("the disk works");
        self.tree.applied(extension);
    }
}

fn hashed_key(slot: u64) -> HashedKey {
    HashedKey(keccak256(slot.to_be_bytes()))
}

fn write(slot: u64, value: u64) -> BatchWrite {
    BatchWrite {
        hashed_key: hashed_key(slot),
        leaf_index: LeafIndex(slot + 1),
        value: B256::from(U256::from(value)),
    }
}

fn extend_and_prove(criterion: &mut Criterion, name: &str, grown: &mut Grown) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).throughput(Throughput::Elements(BATCH_WRITES));
    group.bench_function("extend by 1,000 writes", |bencher| {
        bencher.iter(|| {
            let writes = grown.next_writes();
            grown.extend(&writes);
        });
    });
    group.throughput(Throughput::Elements(1));
    let newest = grown.tree.next_batch().prev().expect("the tree is grown");
    let mut slot = 0;
    group.bench_function("prove one slot", |bencher| {
        bencher.iter(|| {
            slot = (slot + 7919) % LEAVES;
            let view = grown.reader.view();
            black_box(proof(&*view, newest, &[hashed_key(slot)]).expect("the disk works"))
        });
    });
    group.finish();
}

fn in_memory(criterion: &mut Criterion) {
    let mut grown = Grown::new(&MemoryStores::new(), 1 << 30);
    extend_and_prove(criterion, "tree in memory", &mut grown);
}

fn on_rocks(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is room");
    let stores = RocksStores::new(folder.path().to_owned(), RocksConfig::default());
    let mut grown = Grown::new(&stores, 64 << 20);
    extend_and_prove(criterion, "tree on RocksDB", &mut grown);
}

criterion_group!(benches, in_memory, on_rocks);
criterion_main!(benches);
