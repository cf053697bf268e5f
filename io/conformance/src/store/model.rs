//! Random stories, told to the store and to plain maps.

use std::{cell::RefCell, collections::BTreeMap};

use lockstep_io::{Dir, Durability, KeyRange, Seq, StoreName, Table, View, WriteSet};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{Disk, OTHER, Opened, PLAIN, PREFIXED, Place, content, plain, schema};

const TABLES: [Table; 3] = [PLAIN, PREFIXED, OTHER];

/// Views kept open at a time.
const VIEWS_MAX: usize = 3;

/// What the store should hold: for each of [`TABLES`], by index, a plain map.
type Model = [BTreeMap<Vec<u8>, Vec<u8>>; 3];

#[derive(Clone, Debug)]
enum Op {
    Write(Vec<Change>, Durability),
    WriteUnlogged(Vec<Change>),
    FlushUnlogged,
    Sync,
    Reopen,
    TakeView,
    DropView(Index),
    Read(Table, Vec<Vec<u8>>),
    Scan { table: Table, range: KeyRange, dir: Dir, items_max: usize },
    TakeCheckpoint,
    AdoptCheckpoint,
}

#[derive(Clone, Debug)]
enum Change {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    DeleteRange(Table, KeyRange),
}

/// Keys that share prefixes and collide often.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(select(vec![0, b'a', b'b', u8::MAX]), 0..=4)
}

fn table() -> impl Strategy<Value = Table> {
    select(TABLES.to_vec())
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        2 => (key(), option::of(key())).prop_map(|(start, end)| KeyRange { start, end }),
        1 => key().prop_map(|key| KeyRange::prefix(&key)),
        // As the newest version of something is looked up.
        2 => (key(), key()).prop_map(|(prefix, rest)| {
            KeyRange::new(prefix.clone(), [prefix, rest, vec![0]].concat())
        }),
    ]
}

fn dir() -> impl Strategy<Value = Dir> {
    select(vec![Dir::Up, Dir::Down])
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![9 => Just(Durability::Buffered), 1 => Just(Durability::Synced)]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = prop_oneof![9 => vec(any::<u8>(), 0..8), 1 => vec(any::<u8>(), 3000..3001)];
    let change = prop_oneof![
        8 => (table(), key(), value).prop_map(|(table, key, value)| Change::Put(table, key, value)),
        3 => (table(), key()).prop_map(|(table, key)| Change::Delete(table, key)),
        1 => (table(), range()).prop_map(|(table, range)| Change::DeleteRange(table, range)),
    ];
    vec(change, 0..12)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (changes(), durability()).prop_map(|(changes, how)| Op::Write(changes, how)),
        2 => changes().prop_map(Op::WriteUnlogged),
        2 => Just(Op::FlushUnlogged),
        1 => Just(Op::Sync),
        2 => Just(Op::Reopen),
        2 => Just(Op::TakeView),
        1 => any::<Index>().prop_map(Op::DropView),
        4 => (table(), vec(key(), 0..6)).prop_map(|(table, keys)| Op::Read(table, keys)),
        8 => (table(), range(), dir(), 0..20_usize).prop_map(|(table, range, dir, items_max)| {
            Op::Scan { table, range, dir, items_max }
        }),
        1 => Just(Op::TakeCheckpoint),
        1 => Just(Op::AdoptCheckpoint),
    ]
}

pub(super) fn check(disk: &mut dyn Disk, case_count: u32) {
    let config = Config { cases: case_count, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let disk = RefCell::new(disk);
    let told = runner.run(&vec(op(), 1..60), |ops| {
        let mut disk = disk.borrow_mut();
        let mut story = Story::begin(Place { disk: &mut **disk, name: StoreName("model".into()) });
        for op in ops {
            story.tell(op)?;
        }
        story.end()
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}

/// A story in progress.
struct Story<'a> {
    place: Place<'a>,
    /// Open between operations; `None` only while it is being opened again.
    store: Option<Opened>,
    image: StoreName,
    model: Model,
    last_seq: Seq,
    /// Whether something was written without a log and not flushed since.
    is_unflushed: bool,
    views: Vec<(Box<dyn View>, Model)>,
    checkpoint: Option<Model>,
}

impl<'a> Story<'a> {
    fn begin(mut place: Place<'a>) -> Self {
        let image = place.beside("image");
        place.disk.stores().wipe(&place.name).unwrap();
        let store = place.open();
        Self {
            last_seq: store.view().seq(),
            store: Some(store),
            place,
            image,
            model: Model::default(),
            is_unflushed: false,
            views: Vec::new(),
            checkpoint: None,
        }
    }

    fn store(&mut self) -> &mut Opened {
        self.store.as_mut().expect("the store is open between operations")
    }

    fn tell(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Write(changes, durability) => {
                let set = self.apply(changes);
                let seq = self.store().writer.write(set, durability).unwrap();
                prop_assert!(seq > self.last_seq, "{:?} after {:?}", seq, self.last_seq);
                self.last_seq = seq;
            }
            Op::WriteUnlogged(changes) => {
                let set = self.apply(changes);
                self.store().writer.write_unlogged(set).unwrap();
                self.last_seq = self.store().view().seq();
                self.is_unflushed = true;
            }
            Op::FlushUnlogged => self.flush()?,
            Op::Sync => {
                let seq = self.store().writer.sync().unwrap();
                prop_assert_eq!(seq, self.last_seq);
            }
            Op::Reopen => self.reopen()?,
            Op::TakeView => {
                if self.views.len() < VIEWS_MAX {
                    let view = self.store().view();
                    prop_assert_eq!(view.seq(), self.last_seq);
                    self.views.push((view, self.model.clone()));
                }
            }
            Op::DropView(which) => {
                if !self.views.is_empty() {
                    self.views.swap_remove(which.index(self.views.len()));
                }
            }
            Op::Read(table, keys) => {
                self.for_each_view(|view, model| read(view, model, table, &keys))?
            }
            Op::Scan { table, range, dir, items_max } => {
                self.for_each_view(|view, model| scan(view, model, table, &range, dir, items_max))?;
            }
            Op::TakeCheckpoint => self.take_checkpoint()?,
            Op::AdoptCheckpoint => self.adopt_checkpoint()?,
        }
        Ok(())
    }

    /// Looks with `look` at the present and at every view that is kept.
    fn for_each_view(
        &mut self,
        look: impl Fn(&dyn View, &Model) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        let now = self.store().view();
        look(&*now, &self.model)?;
        self.views.iter().try_for_each(|(view, model)| look(&**view, model))
    }

    /// Applies `changes` to the model, and gives them as a write set.
    fn apply(&mut self, changes: Vec<Change>) -> WriteSet {
        let mut set = WriteSet::new();
        for change in changes {
            match change {
                Change::Put(table, key, value) => {
                    self.model[table.index].insert(key.clone(), value.clone());
                    set.put(table, key, value);
                }
                Change::Delete(table, key) => {
                    self.model[table.index].remove(&key);
                    set.delete(table, key);
                }
                Change::DeleteRange(table, range) => {
                    self.model[table.index].retain(|key, _| !range.contains(key));
                    set.delete_range(table, range);
                }
            }
        }
        set
    }

    fn flush(&mut self) -> Result<(), TestCaseError> {
        let seq = self.store().writer.flush_unlogged().unwrap();
        prop_assert_eq!(seq, self.last_seq);
        self.is_unflushed = false;
        Ok(())
    }

    /// Checks what is kept, closes everything, and opens the store again.
    fn reopen(&mut self) -> Result<(), TestCaseError> {
        self.close()?;
        self.open()?;
        let now = self.store().view();
        prop_assert!(now.seq() >= self.last_seq, "opening again went back in numbers");
        self.last_seq = now.seq();
        Ok(())
    }

    fn close(&mut self) -> Result<(), TestCaseError> {
        // Without this, closing may lose it (C7).
        if self.is_unflushed {
            self.flush()?;
        }
        self.for_each_view(whole)?;
        self.views.clear();
        self.store = None;
        Ok(())
    }

    fn open(&mut self) -> Result<(), TestCaseError> {
        self.store = Some(self.place.open());
        self.for_each_view(whole)
    }

    fn take_checkpoint(&mut self) -> Result<(), TestCaseError> {
        self.place.disk.stores().wipe(&self.image).unwrap();
        let image = self.image.clone();
        let info = self.store().writer.checkpoint(&image).unwrap();
        prop_assert_eq!(info.seq, self.last_seq);
        self.checkpoint = Some(self.model.clone());
        let (reader, _writer) = self.place.disk.stores().open(&self.image, &schema()).unwrap();
        whole(&*reader.view(), &self.model)
    }

    fn adopt_checkpoint(&mut self) -> Result<(), TestCaseError> {
        let Some(model) = self.checkpoint.take() else { return Ok(()) };
        self.close()?;
        self.place.disk.stores().adopt_checkpoint(&self.image, &self.place.name).unwrap();
        self.model = model;
        self.open()?;
        self.last_seq = self.store().view().seq();
        Ok(())
    }

    fn end(mut self) -> Result<(), TestCaseError> {
        self.reopen()
    }
}

/// Compares all that `view` shows.
fn whole(view: &dyn View, model: &Model) -> Result<(), TestCaseError> {
    for table in TABLES {
        prop_assert_eq!(&content(view, table), &model[table.index], "table {}", table.name);
    }
    Ok(())
}

fn read(
    view: &dyn View,
    model: &Model,
    table: Table,
    keys: &[Vec<u8>],
) -> Result<(), TestCaseError> {
    let expected: Vec<_> = keys.iter().map(|key| model[table.index].get(key).cloned()).collect();
    let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let together = view.multi_get(table, &asked).unwrap();
    let together: Vec<_> = together.into_iter().map(|value| value.map(Vec::from)).collect();
    prop_assert_eq!(&together, &expected);
    for (key, expected) in keys.iter().zip(expected) {
        let value = view.get(table, key).unwrap().map(Vec::from);
        prop_assert_eq!(value, expected, "key {:?}", key);
    }
    Ok(())
}

fn scan(
    view: &dyn View,
    model: &Model,
    table: Table,
    range: &KeyRange,
    dir: Dir,
    items_max: usize,
) -> Result<(), TestCaseError> {
    let mut expected: Vec<_> = model[table.index]
        .iter()
        .filter(|(key, _)| range.contains(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if dir == Dir::Down {
        expected.reverse();
    }
    expected.truncate(items_max);
    let found = view.scan(table, range.clone(), dir).take(items_max);
    let found: Vec<_> = found.map(|item| plain(item.unwrap())).collect();
    prop_assert_eq!(found, expected, "{:?} {:?} of {}", dir, range, table.name);
    Ok(())
}
