//! The seams in memory keep what every implementation promises.

use std::sync::Arc;

use lockstep_io::Stores;
use lockstep_io_conformance::{clock, entropy, store, tasks};
use lockstep_io_memory::{MemoryIo, MemoryStores, SeededEntropy};

struct MemoryDisk(MemoryStores);

impl store::Disk for MemoryDisk {
    fn stores(&mut self) -> Arc<dyn Stores> {
        Arc::new(self.0.clone())
    }
}

#[test]
fn the_clock_keeps_its_promises() {
    let world = MemoryIo::new(1);
    world.block_on(clock::check(&world.clock));
}

#[test]
fn entropy_keeps_its_promises() {
    entropy::check(&SeededEntropy::new(1));
}

#[test]
fn tasks_keep_their_promises() {
    let world = MemoryIo::new(1);
    let io = world.io();
    world.block_on(tasks::check(io.tasks, io.clock));
}

#[test]
fn the_store_keeps_its_promises() {
    store::check(&mut MemoryDisk(MemoryStores::new()));
}

#[test]
fn the_store_does_what_a_plain_map_does() {
    store::check_against_model(&mut MemoryDisk(MemoryStores::new()), 256);
}

#[test]
fn a_restart_keeps_the_disk_and_ends_the_tasks() {
    let world = MemoryIo::new(1);
    let kept = Arc::new(());
    let held = kept.clone();
    drop(world.io().tasks.spawn(
        "holder",
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(held);
        }),
    ));
    world.runtime.run_until_idle();
    let table = lockstep_io::Table { index: 0, name: "t", prefix_bytes: None };
    let schema = lockstep_io::Schema { tables: vec![table] };
    let name = lockstep_io::StoreName("main".into());
    let (reader, mut writer) = world.stores.open(&name, &schema).unwrap();
    let mut set = lockstep_io::WriteSet::new();
    set.put(table, b"k", b"v");
    writer.write(set, lockstep_io::Durability::Buffered).unwrap();
    drop((reader, writer));

    let next = world.restart();
    assert_eq!(Arc::strong_count(&kept), 1, "a task outlived its process");
    let (reader, _writer) = next.io().stores.open(&name, &schema).unwrap();
    assert_eq!(reader.view().get(table, b"k").unwrap().as_deref(), Some(b"v".as_slice()));
}
