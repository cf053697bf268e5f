//! Views: what they show, in which order, and that it stays.

use std::collections::BTreeMap;

use lockstep_io::{Dir, KeyRange, StoreError, Table, WriteSet};

use super::{
    Body, OTHER, Opened, PLAIN, PREFIXED, Place, UNKNOWN, content, failure, plain, scanned,
};

pub(super) const BODIES: &[Body] = &[
    ("multi-get", several_keys_come_back_in_the_order_asked_for),
    ("scans", scans_have_every_key_between_their_bounds_in_order),
    ("newest-below", the_last_key_up_to_another_is_found_inside_its_prefix),
    ("across-prefixes", scans_go_on_across_prefixes),
    ("part-scans", a_scan_can_be_left_in_the_middle),
    ("frozen", views_and_scans_never_see_later_writes),
    ("in-memory", what_is_in_memory_is_what_is_there),
    ("unknown-table", reading_no_table_is_an_error),
];

fn several_keys_come_back_in_the_order_asked_for(place: &mut Place<'_>) {
    let mut store = place.open();
    store.write(|set| {
        for key in 0..200_u8 {
            set.put(PLAIN, [key, 0], [key]);
            set.put(PREFIXED, [key, 0], [key]);
        }
        set.put(PLAIN, b"empty", b"");
    });
    // Half of them on the way to disk, half not.
    store.writer.flush_unlogged().unwrap();
    store.write(|set| {
        for key in 100..200_u8 {
            set.put(PLAIN, [key, 0], [key, key]);
        }
        set.delete(PLAIN, [7, 0]);
    });
    let view = store.view();
    assert_eq!(view.multi_get(PLAIN, &[]), Ok(Vec::new()));
    let keys: Vec<Vec<u8>> = (0..=255_u8)
        .rev()
        .chain([7, 100, 100, 99])
        .map(|key| vec![key, 0])
        .chain([b"empty".to_vec(), Vec::new(), b"absent".to_vec()])
        .collect();
    for table in [PLAIN, PREFIXED] {
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let values = view.multi_get(table, &asked).unwrap();
        let one_by_one: Vec<_> = asked.iter().map(|key| view.get(table, key).unwrap()).collect();
        assert_eq!(values, one_by_one, "several keys of {} differ from one by one", table.name);
    }
    let first = view.multi_get(PLAIN, &[&[150, 0], &[7, 0], &[150, 0], &[3, 0]]).unwrap();
    let first: Vec<_> = first.iter().map(|value| value.as_deref()).collect();
    assert_eq!(first, [Some([150, 150].as_slice()), None, Some(&[150, 150]), Some(&[3])]);
}

/// Keys that lie close together, of all lengths around that of a prefix.
const KEYS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\0\xff",
    b"a\xff",
    b"a\xff\xff",
    b"b",
    b"b\0",
    b"ba",
    b"ba\xff\xff\xff",
    b"bb",
    b"\xff",
    b"\xff\xfe",
    b"\xff\xff",
    b"\xff\xff\xff",
];

/// Compares scans of `table` between all [`KEYS`], both ways, with `expected`.
fn check_all_ranges(store: &Opened, table: Table, expected: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let view = store.view();
    let ends = KEYS.iter().map(|end| Some(end.to_vec())).chain([None]);
    for end in ends {
        for start in KEYS {
            let range = KeyRange { start: start.to_vec(), end: end.clone() };
            let mut inside: Vec<_> = expected
                .iter()
                .filter(|(key, _)| range.contains(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(scanned(&*view, table, range.clone(), Dir::Up), inside, "up {range:?}");
            inside.reverse();
            assert_eq!(scanned(&*view, table, range.clone(), Dir::Down), inside, "down {range:?}");
        }
    }
}

fn scans_have_every_key_between_their_bounds_in_order(place: &mut Place<'_>) {
    let mut store = place.open();
    for table in [PLAIN, PREFIXED] {
        check_all_ranges(&store, table, &BTreeMap::new());
    }
    let mut expected = BTreeMap::new();
    // Every other key, then the rest: into one file, another, and none.
    for (round, flush) in [(0, true), (1, true), (2, false)] {
        for (index, key) in KEYS.iter().enumerate().filter(|(index, _)| index % 3 == round) {
            let value = index.to_string().into_bytes();
            store.put(PLAIN, key, &value);
            store.put(PREFIXED, key, &value);
            expected.insert(key.to_vec(), value);
        }
        if flush {
            store.writer.flush_unlogged().unwrap();
        }
        for table in [PLAIN, PREFIXED] {
            check_all_ranges(&store, table, &expected);
        }
    }
    for key in [KEYS[3], KEYS[7], KEYS[16]] {
        store.write(|set| {
            set.delete(PLAIN, key);
            set.delete(PREFIXED, key);
        });
        expected.remove(key);
    }
    let range = KeyRange::new(b"ba", b"bb");
    store.write(|set| {
        set.delete_range(PLAIN, range.clone());
        set.delete_range(PREFIXED, range.clone());
    });
    expected.retain(|key, _| !range.contains(key));
    assert_eq!(expected.len(), KEYS.len() - 5);
    for table in [PLAIN, PREFIXED] {
        check_all_ranges(&store, table, &expected);
    }
    drop(store);
    let store = place.open();
    for table in [PLAIN, PREFIXED] {
        check_all_ranges(&store, table, &expected);
    }
}

fn the_last_key_up_to_another_is_found_inside_its_prefix(place: &mut Place<'_>) {
    let mut store = place.open();
    let key = |slot: u8, block: u8| vec![slot, slot, block];
    // The value of a slot at a block is that of the last key up to it.
    for (slot, block) in [(1, 10), (1, 20), (3, 5), (3, 255), (4, 0)] {
        store.put(PREFIXED, &key(slot, block), &[block]);
        if block == 20 || block == 5 {
            store.writer.flush_unlogged().unwrap();
        }
    }
    let cases = [
        (1, 9, None),
        (1, 10, Some(10)),
        (1, 19, Some(10)),
        (1, 20, Some(20)),
        (1, 255, Some(20)),
        (2, 0, None),
        (2, 255, None),
        (3, 254, Some(5)),
        (3, 255, Some(255)),
        (4, 0, Some(0)),
        (0, 255, None),
        (5, 255, None),
    ];
    for life in ["as written", "flushed", "after opening again"] {
        let view = store.view();
        for (slot, block, expected) in cases {
            let mut end = key(slot, block);
            end.push(0);
            let range = KeyRange::new([slot, slot], end);
            let found = view.scan(PREFIXED, range, Dir::Down).next();
            let found = found.map(|item| plain(item.unwrap()));
            let expected = expected.map(|at| (key(slot, at), vec![at]));
            assert_eq!(found, expected, "slot {slot} at block {block}, {life}");
        }
        drop(view);
        if life == "as written" {
            store.writer.flush_unlogged().unwrap();
        } else {
            drop(store);
            store = place.open();
        }
    }
}

fn scans_go_on_across_prefixes(place: &mut Place<'_>) {
    let mut store = place.open();
    let mut expected = Vec::new();
    for prefix in 0..50_u8 {
        store.write(|set| {
            for key in 0..5_u8 {
                set.put(PREFIXED, [prefix, 7, key], [key]);
                expected.push((vec![prefix, 7, key], vec![key]));
            }
        });
        if prefix % 16 == 0 {
            store.writer.flush_unlogged().unwrap();
        }
    }
    for flush in [false, true] {
        if flush {
            store.writer.flush_unlogged().unwrap();
        }
        let view = store.view();
        assert_eq!(scanned(&*view, PREFIXED, KeyRange::all(), Dir::Up), expected);
        let range = KeyRange::new([3, 7, 2], [40, 7, 4]);
        let inside = &expected[17..204];
        assert_eq!(scanned(&*view, PREFIXED, range.clone(), Dir::Up), inside);
        let mut reversed = inside.to_vec();
        reversed.reverse();
        assert_eq!(scanned(&*view, PREFIXED, range, Dir::Down), reversed);
        // Bounds between prefixes that exist.
        let between = KeyRange::new([3, 8], [5, 6]);
        assert_eq!(scanned(&*view, PREFIXED, between.clone(), Dir::Up), &expected[20..25]);
        assert_eq!(scanned(&*view, PREFIXED, between, Dir::Down).len(), 5);
    }
}

fn a_scan_can_be_left_in_the_middle(place: &mut Place<'_>) {
    let mut store = place.open();
    store.write(|set| {
        for key in 0..100_u8 {
            set.put(PLAIN, [key], [key]);
        }
    });
    let view = store.view();
    let mut up = view.scan(PLAIN, KeyRange::from([10]), Dir::Up);
    let mut down = view.scan(PLAIN, KeyRange::new([10], [90]), Dir::Down);
    // Two scans of one view, in turns.
    for step in 0..20_u8 {
        assert_eq!(up.next().unwrap().unwrap().0, [10 + step]);
        assert_eq!(down.next().unwrap().unwrap().0, [89 - step]);
    }
    drop(up);
    assert_eq!(down.by_ref().count(), 60);
    assert!(down.next().is_none(), "a scan went on after its end");
}

fn views_and_scans_never_see_later_writes(place: &mut Place<'_>) {
    let mut store = place.open();
    store.write(|set| {
        for key in 0..100_u8 {
            for table in [PLAIN, PREFIXED] {
                set.put(table, [key, key, key], [key]);
            }
        }
    });
    let frozen = store.view();
    let before = content(&*frozen, PLAIN);
    assert_eq!(before.len(), 100);
    let mut up = frozen.scan(PLAIN, KeyRange::all(), Dir::Up);
    let mut down = frozen.scan(PREFIXED, KeyRange::all(), Dir::Down);
    let mut seen_up = vec![plain(up.next().unwrap().unwrap())];
    let mut seen_down = vec![plain(down.next().unwrap().unwrap())];

    for round in 0..5_u8 {
        let mut set = WriteSet::new();
        for table in [PLAIN, PREFIXED] {
            set.put(table, [round, round, round], b"later");
            set.put(table, [200, round], b"later");
            set.delete(table, [50 + round, 50 + round, 50 + round]);
            set.delete_range(table, KeyRange::new([10 * round + 5], [10 * round + 9]));
        }
        store.writer.write_unlogged(set).unwrap();
        store.writer.flush_unlogged().unwrap();
        seen_up.push(plain(up.next().unwrap().unwrap()));
        seen_down.push(plain(down.next().unwrap().unwrap()));
    }
    store.write(|set| {
        set.delete_range(PLAIN, KeyRange::all());
        set.delete_range(PREFIXED, KeyRange::all());
        set.put(PLAIN, b"new", b"v");
    });
    store.writer.sync().unwrap();

    seen_up.extend(up.by_ref().map(|item| plain(item.unwrap())));
    seen_down.extend(down.by_ref().map(|item| plain(item.unwrap())));
    seen_down.reverse();
    let before_in_order: Vec<_> = before.clone().into_iter().collect();
    assert_eq!(seen_up, before_in_order, "a scan saw later writes");
    assert_eq!(seen_down, before_in_order, "a scan saw later writes");
    drop((up, down));

    assert_eq!(store.keys(PLAIN), [b"new"]);
    // The view outlives both halves.
    drop(store);
    assert_eq!(content(&*frozen, PLAIN), before);
    assert_eq!(content(&*frozen, PREFIXED), before);
    assert_eq!(frozen.get(PLAIN, &[7, 7, 7]).unwrap().as_deref(), Some([7].as_slice()));
    assert_eq!(frozen.get(PLAIN, b"new"), Ok(None));
    let keys: [&[u8]; 2] = [&[200, 0], &[50, 50, 50]];
    let values = frozen.multi_get(PREFIXED, &keys).unwrap();
    let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
    assert_eq!(values, [None, Some([50].as_slice())]);
}

fn reading_no_table_is_an_error(place: &mut Place<'_>) {
    let mut store = place.open();
    store.put(OTHER, b"k", b"v");
    let view = store.view();
    // A name that is not there, and one that is there under another index.
    for table in [UNKNOWN, Table { index: 0, ..OTHER }] {
        let is_schema = |error: StoreError| matches!(error, StoreError::Schema(_));
        assert!(is_schema(failure(view.get(table, b"k"), "reading no table")));
        assert!(is_schema(failure(view.multi_get(table, &[b"k"]), "reading no table")));
        let mut scan = view.scan(table, KeyRange::all(), Dir::Up);
        assert!(is_schema(failure(scan.next().unwrap(), "scanning no table")));
        assert!(scan.next().is_none(), "a scan went on after an error");
    }
}

fn what_is_in_memory_is_what_is_there(place: &mut Place<'_>) {
    let mut store = place.open();
    for round in 0..3_u8 {
        store.write(|set| {
            for key in 0..200_u8 {
                set.put(PREFIXED, [key / 16, round, key], vec![round; 100]);
            }
        });
        // Some of them on the disk, some not.
        if round == 0 {
            store.writer.flush_unlogged().unwrap();
        }
    }
    let view = store.view();
    let Some(quick) = view.in_memory() else { return };
    store.write(|set| set.put(PREFIXED, [0, 0, 0], b"later"));
    assert_eq!(quick.seq(), view.seq());
    for key in 0..=255_u8 {
        for round in 0..3 {
            let key = [key / 16, round, key];
            match quick.get(PREFIXED, &key) {
                Err(StoreError::NotInMemory) => {}
                found => assert_eq!(found, view.get(PREFIXED, &key)),
            }
        }
        let range = || KeyRange::prefix(&[key / 16, 1]);
        for dir in [Dir::Up, Dir::Down] {
            let mut found: Vec<_> = quick.scan(PREFIXED, range(), dir).collect();
            let is_short = found.pop_if(|row| *row == Err(StoreError::NotInMemory)).is_some();
            let there: Vec<_> = view.scan(PREFIXED, range(), dir).collect();
            assert!(there.starts_with(&found), "rows in memory are not those that are there");
            assert!(is_short || found.len() == there.len(), "rows are missing without a word");
        }
    }
    let newest = quick.get(PREFIXED, &[0, 2, 0]);
    assert!(matches!(newest, Ok(Some(_)) | Err(StoreError::NotInMemory)));
}
