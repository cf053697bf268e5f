//! The promises of the store: C1 to C10 of [`lockstep_io::store`], as far as an implementation can
//! be asked for them without a crash, and what its traits say beside.

mod lifecycle;
mod model;
mod reads;
mod writes;

use std::{collections::BTreeMap, sync::Arc};

use lockstep_io::{
    Dir, Durability, KeyRange, ReadStore, Schema, Seq, StoreError, StoreName, Stores, Table, Value,
    View, WriteSet, WriteStore,
};

/// A disk that outlives the processes that use it.
pub trait Disk {
    /// The disk as a process that starts now sees it. The one before has closed its stores, or
    /// has not, and then they are locked.
    fn stores(&mut self) -> Arc<dyn Stores>;
}

/// Checks every promise of a store, on stores of its own names: the disk need not be empty.
///
/// # Panics
///
/// Where a promise is broken.
pub fn check(disk: &mut dyn Disk) {
    for (name, body) in writes::BODIES.iter().chain(reads::BODIES).chain(lifecycle::BODIES) {
        let stores = disk.stores();
        stores.wipe(&StoreName((*name).to_owned())).unwrap();
        drop(stores);
        body(&mut Place { disk, name: StoreName((*name).to_owned()) });
    }
}

/// Does `case_count` random stories to the store and to plain maps, and compares what both say.
/// The stories are the same every time.
///
/// # Panics
///
/// Where they differ, with the shortest story that shows it.
pub fn check_against_model(disk: &mut dyn Disk, case_count: u32) {
    model::check(disk, case_count);
}

/// A promise: the name of the store that it is checked on, and how.
type Body = (&'static str, fn(&mut Place<'_>));

const PLAIN: Table = Table { index: 0, name: "plain", prefix_bytes: None };
const PREFIXED: Table = Table { index: 1, name: "prefixed", prefix_bytes: Some(2) };
const OTHER: Table = Table { index: 2, name: "other", prefix_bytes: None };
/// In no schema but that of [`lifecycle`].
const UNKNOWN: Table = Table { index: 3, name: "unknown", prefix_bytes: None };

fn schema() -> Schema {
    Schema { tables: vec![PLAIN, PREFIXED, OTHER] }
}

/// Where one body works: a store of its own on the disk.
struct Place<'a> {
    disk: &'a mut dyn Disk,
    name: StoreName,
}

impl Place<'_> {
    /// Opens the store as a new process does.
    fn open(&mut self) -> Opened {
        let (reader, writer) = self.disk.stores().open(&self.name, &schema()).unwrap();
        Opened { reader, writer }
    }

    /// Another store, empty, beside the one of this place.
    fn beside(&mut self, ending: &str) -> StoreName {
        let name = StoreName(format!("{}-{ending}", self.name.0));
        self.disk.stores().wipe(&name).unwrap();
        name
    }
}

/// An open store.
struct Opened {
    reader: Arc<dyn ReadStore>,
    writer: Box<dyn WriteStore>,
}

impl Opened {
    fn write(&mut self, fill: impl FnOnce(&mut WriteSet)) -> Seq {
        let mut set = WriteSet::new();
        fill(&mut set);
        self.writer.write(set, Durability::Buffered).unwrap()
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Seq {
        self.write(|set| set.put(table, key, value))
    }

    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.view().get(table, key).unwrap().map(Vec::from)
    }

    fn view(&self) -> Box<dyn View> {
        self.reader.view()
    }

    /// What `table` holds now.
    fn all(&self, table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
        content(&*self.view(), table)
    }

    /// The keys that `table` holds now.
    fn keys(&self, table: Table) -> Vec<Vec<u8>> {
        self.all(table).into_keys().collect()
    }
}

/// What `view` shows of `table`.
fn content(view: &dyn View, table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    scanned(view, table, KeyRange::all(), Dir::Up).into_iter().collect()
}

/// A whole scan.
fn scanned(view: &dyn View, table: Table, range: KeyRange, dir: Dir) -> Vec<(Vec<u8>, Vec<u8>)> {
    view.scan(table, range, dir).map(|item| plain(item.unwrap())).collect()
}

fn plain((key, value): (Vec<u8>, Value)) -> (Vec<u8>, Vec<u8>) {
    (key, Vec::from(value))
}

/// Why something failed that must not succeed.
fn failure<T>(result: Result<T, StoreError>, what: &str) -> StoreError {
    match result {
        Ok(_) => panic!("{what} succeeded"),
        Err(error) => error,
    }
}

/// Bytes that no compression makes much shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}
