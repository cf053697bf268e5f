//! Write sets: atomic, in order, numbered.

use std::collections::BTreeMap;

use lockstep_io::{Durability, KeyRange, StoreError, WriteSet};

use super::{Body, OTHER, Opened, PLAIN, PREFIXED, Place, UNKNOWN, content, failure, noise};

pub(super) const BODIES: &[Body] = &[
    ("whole-sets", a_write_set_is_seen_whole_or_not_at_all),
    ("order-of-changes", later_changes_of_a_set_win),
    ("range-bounds", a_range_has_its_start_and_not_its_end),
    ("endless-ranges", a_range_without_end_takes_every_key),
    ("numbers", numbers_rise_with_each_write_set),
    ("empty-set", an_empty_set_changes_nothing),
    ("sizes", keys_and_values_of_every_size_come_back),
    ("poison", a_failed_write_poisons_the_writer),
    ("unlogged", unlogged_writes_are_seen_at_once_and_stay_once_flushed),
];

fn a_write_set_is_seen_whole_or_not_at_all(place: &mut Place<'_>) {
    let mut store = place.open();
    store.write(|set| {
        set.put(PLAIN, b"block", b"1");
        set.put(PREFIXED, b"cursor", b"1");
        set.put(OTHER, b"old", b"1");
    });
    let before = store.view();
    store.write(|set| {
        set.put(PLAIN, b"block", b"2");
        set.put(PREFIXED, b"cursor", b"2");
        set.delete(OTHER, b"old");
    });
    let read = |view: &dyn lockstep_io::View| {
        [(PLAIN, b"block".as_slice()), (PREFIXED, b"cursor"), (OTHER, b"old")]
            .map(|(table, key)| view.get(table, key).unwrap().map(Vec::from))
    };
    let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
    assert_eq!(read(&*before), [one.clone(), one.clone(), one]);
    assert_eq!(read(&*store.view()), [two.clone(), two.clone(), None]);
    drop((before, store));
    assert_eq!(read(&*place.open().view()), [two.clone(), two, None], "after opening again");
}

fn later_changes_of_a_set_win(place: &mut Place<'_>) {
    let mut store = place.open();
    for key in [b"c1", b"d1", b"e1"] {
        store.put(PLAIN, key, b"before");
    }
    store.write(|set| {
        set.put(PLAIN, b"a", b"1");
        set.put(PLAIN, b"a", b"2");
        set.put(PLAIN, b"b", b"1");
        set.delete(PLAIN, b"b");
        set.delete(PLAIN, b"c1");
        set.put(PLAIN, b"c1", b"after");
        set.put(PLAIN, b"d2", b"1");
        set.delete_range(PLAIN, KeyRange::prefix(b"d"));
        set.delete_range(PLAIN, KeyRange::prefix(b"e"));
        set.put(PLAIN, b"e2", b"after");
        set.put(PLAIN, b"f", b"1");
        set.delete_range(PLAIN, KeyRange::new(b"f", b"g"));
        set.put(PLAIN, b"f", b"3");
    });
    let expected: BTreeMap<_, _> =
        [("a", "2"), ("c1", "after"), ("e2", "after"), ("f", "3")].map(text).into();
    assert_eq!(store.all(PLAIN), expected);
    assert_eq!(store.get(PLAIN, b"e1"), None);
    drop(store);
    assert_eq!(place.open().all(PLAIN), expected, "after opening again");
}

fn text((key, value): (&str, &str)) -> (Vec<u8>, Vec<u8>) {
    (key.into(), value.into())
}

fn a_range_has_its_start_and_not_its_end(place: &mut Place<'_>) {
    let mut store = place.open();
    for table in [PLAIN, PREFIXED, OTHER] {
        store.write(|set| {
            for key in ["a", "b", "b1", "c", "c\0", "d"] {
                set.put(table, key, "v");
            }
        });
    }
    for table in [PLAIN, PREFIXED] {
        store.write(|set| set.delete_range(table, KeyRange::new(b"b", b"c")));
        assert_eq!(store.keys(table), [b"a".as_slice(), b"c", b"c\0", b"d"]);
        // Ranges without keys, also with the end before the start.
        store.write(|set| {
            set.delete_range(table, KeyRange::new(b"a", b"a"));
            set.delete_range(table, KeyRange::new(b"d", b"a"));
            set.delete_range(table, KeyRange::new(b"a1", b"b9"));
        });
        assert_eq!(store.keys(table), [b"a".as_slice(), b"c", b"c\0", b"d"]);
        store.write(|set| set.delete_range(table, KeyRange::new(b"", b"c\0")));
        assert_eq!(store.keys(table), [b"c\0".as_slice(), b"d"]);
    }
    assert_eq!(store.keys(OTHER).len(), 6, "a range reached into another table");
}

fn a_range_without_end_takes_every_key(place: &mut Place<'_>) {
    let mut store = place.open();
    let greatest = vec![u8::MAX; 100];
    for table in [PLAIN, PREFIXED] {
        let fill = |store: &mut Opened| {
            store.write(|set| {
                for key in [b"".as_slice(), b"a", b"b", &[u8::MAX], &greatest] {
                    set.put(table, key, b"v");
                }
            });
        };
        fill(&mut store);
        store.write(|set| set.delete_range(table, KeyRange::from(b"b")));
        assert_eq!(store.keys(table), [b"".as_slice(), b"a"]);
        fill(&mut store);
        store.write(|set| set.delete_range(table, KeyRange::prefix(&[u8::MAX])));
        assert_eq!(store.keys(table), [b"".as_slice(), b"a", b"b"]);
        store.write(|set| {
            // Greater than all that is there, and put by the same set.
            set.put(table, greatest.clone(), b"v");
            set.delete_range(table, KeyRange::all());
            set.put(table, b"last", b"v");
        });
        assert_eq!(store.keys(table), [b"last"]);
        store.write(|set| set.delete_range(table, KeyRange::all()));
        store.write(|set| set.delete_range(table, KeyRange::all()));
        assert_eq!(store.keys(table), [b""; 0]);
    }
}

fn numbers_rise_with_each_write_set(place: &mut Place<'_>) {
    let mut store = place.open();
    let mut last = store.view().seq();
    for round in 0..20_u8 {
        let seq = store.write(|set| {
            for key in 0..=round % 3 {
                set.put(PLAIN, [key], [round]);
            }
            if round % 4 == 0 {
                set.delete_range(PLAIN, KeyRange::new(b"x", b"y"));
            }
        });
        assert!(seq > last, "{seq:?} came after {last:?}");
        assert_eq!(store.view().seq(), seq, "a view shows the last write set");
        last = seq;
    }
    let before = store.view();
    assert_eq!(store.writer.sync().unwrap(), last, "nothing was written in between");
    let synced = {
        let mut set = WriteSet::new();
        set.put(PLAIN, b"synced", b"v");
        store.writer.write(set, Durability::Synced).unwrap()
    };
    assert!(synced > last);
    assert_eq!(before.seq(), last, "a view's number changed");
    drop((before, store));
    let store = place.open();
    assert!(store.view().seq() >= synced, "opening again went back in numbers");
}

fn an_empty_set_changes_nothing(place: &mut Place<'_>) {
    let mut store = place.open();
    let first = store.put(PLAIN, b"k", b"v");
    let mut last = first;
    for durability in [Durability::Buffered, Durability::Synced] {
        let seq = store.writer.write(WriteSet::new(), durability).unwrap();
        assert!(seq > last, "an empty write set has a number too");
        last = seq;
    }
    let mut nothing = WriteSet::new();
    nothing.delete_range(PLAIN, KeyRange::new(b"k", b"k"));
    nothing.delete_range(OTHER, KeyRange::all());
    assert!(store.writer.write(nothing, Durability::Buffered).unwrap() > last);
    let left = [PLAIN, PREFIXED, OTHER].map(|table| store.keys(table).len());
    assert_eq!(left, [1, 0, 0]);
}

fn keys_and_values_of_every_size_come_back(place: &mut Place<'_>) {
    let mut store = place.open();
    let huge = noise(8 << 20);
    let long_key = noise(4096);
    store.write(|set| {
        set.put(PLAIN, b"empty", b"");
        set.put(PLAIN, b"", b"of the empty key");
        set.put(PREFIXED, b"", b"of the empty key");
        set.put(PREFIXED, b"x", b"of a key shorter than the prefix");
        set.put(PLAIN, long_key.clone(), b"of a long key");
        set.put(PLAIN, b"huge", huge.clone());
    });
    for life in ["as written", "after opening again"] {
        assert_eq!(store.get(PLAIN, b"empty"), Some(Vec::new()), "{life}");
        assert_eq!(
            store.get(PLAIN, b"").as_deref(),
            Some(b"of the empty key".as_slice()),
            "{life}"
        );
        assert_eq!(store.get(PREFIXED, b"").as_deref(), Some(b"of the empty key".as_slice()));
        assert!(store.get(PREFIXED, b"x").is_some(), "{life}");
        assert_eq!(store.keys(PREFIXED), [b"".as_slice(), b"x"], "{life}");
        assert!(store.get(PLAIN, &long_key).is_some(), "{life}");
        assert!(store.get(PLAIN, b"huge").is_some_and(|value| value == huge), "{life}");
        assert_eq!(store.keys(PLAIN).len(), 4, "{life}");
        drop(store);
        store = place.open();
    }
}

fn a_failed_write_poisons_the_writer(place: &mut Place<'_>) {
    let mut store = place.open();
    store.put(PLAIN, b"k", b"before");
    let mut bad = WriteSet::new();
    bad.put(PLAIN, b"k", b"half");
    bad.put(UNKNOWN, b"k", b"v");
    let error = failure(store.writer.write(bad, Durability::Buffered), "writing to no table");
    assert!(matches!(error, StoreError::Schema(_)), "{error}");

    let mut good = WriteSet::new();
    good.put(PLAIN, b"k", b"after");
    let image = place.beside("image");
    let poisoned = Err(StoreError::Poisoned);
    assert_eq!(store.writer.write(good.clone(), Durability::Buffered), poisoned);
    assert_eq!(store.writer.write(good.clone(), Durability::Synced), poisoned);
    assert_eq!(store.writer.sync(), poisoned);
    assert_eq!(store.writer.write_unlogged(good), Err(StoreError::Poisoned));
    assert_eq!(store.writer.flush_unlogged(), poisoned);
    assert_eq!(store.writer.checkpoint(&image), Err(StoreError::Poisoned));
    assert_eq!(store.get(PLAIN, b"k").as_deref(), Some(b"before".as_slice()), "reading goes on");

    drop(store);
    let mut store = place.open();
    assert_eq!(store.get(PLAIN, b"k").as_deref(), Some(b"before".as_slice()));
    store.put(PLAIN, b"k", b"after");
    assert_eq!(store.get(PLAIN, b"k").as_deref(), Some(b"after".as_slice()));
}

fn unlogged_writes_are_seen_at_once_and_stay_once_flushed(place: &mut Place<'_>) {
    let mut store = place.open();
    let mut expected = BTreeMap::new();
    for round in 0..10_u8 {
        let mut set = WriteSet::new();
        for key in 0..100_u8 {
            set.put(PLAIN, [round, key], [key; 50]);
            set.put(OTHER, [round, key], [round]);
            expected.insert(vec![round, key], vec![key; 50]);
        }
        let before = store.view().seq();
        store.writer.write_unlogged(set).unwrap();
        assert!(store.view().seq() > before, "an unlogged write set has a number too");
    }
    assert_eq!(store.all(PLAIN), expected);
    let flushed = store.writer.flush_unlogged().unwrap();
    assert_eq!(flushed, store.view().seq());
    // Logged ones after unlogged ones.
    store.put(PLAIN, b"logged", b"v");
    expected.insert(b"logged".to_vec(), b"v".to_vec());
    drop(store);
    let store = place.open();
    assert_eq!(content(&*store.view(), PLAIN), expected);
    assert_eq!(store.keys(OTHER).len(), 1000);
}
