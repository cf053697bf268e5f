//! Opening, closing, copying, replacing and removing stores.

use lockstep_io::{Durability, KeyRange, Schema, StoreError, StoreName, Table, WriteSet};

use super::{Body, OTHER, PLAIN, PREFIXED, Place, UNKNOWN, content, failure, noise, schema};

pub(super) const BODIES: &[Body] = &[
    ("reopening", what_was_acknowledged_is_there_after_opening_again),
    ("one-owner", a_store_is_open_once),
    ("new-tables", tables_can_be_added_and_not_lost),
    ("bad-schemas", schemas_with_gaps_or_twins_are_refused),
    ("checkpoints", a_checkpoint_is_an_image_of_one_moment),
    ("checkpoint-names", a_checkpoint_replaces_nothing),
    ("adoption", an_adopted_checkpoint_takes_the_place_of_the_store),
    ("bad-adoption", an_adoption_that_cannot_be_leaves_the_store),
    ("wiping", a_wiped_store_is_empty),
    ("apart", stores_do_not_see_each_other),
    ("sizes-of-tables", what_is_stored_takes_space),
];

fn what_was_acknowledged_is_there_after_opening_again(place: &mut Place<'_>) {
    for life in 0..6_u8 {
        let mut store = place.open();
        let (plain, other) = (store.all(PLAIN), store.all(OTHER));
        assert_eq!(plain.len(), usize::from(life) * 3);
        assert_eq!(other.len(), usize::from(life > 0));
        assert!(life == 0 || other[b"lives".as_slice()] == [life - 1]);
        for (n, durability) in
            [(0, Durability::Buffered), (1, Durability::Synced), (2, Durability::Buffered)]
        {
            let mut set = WriteSet::new();
            set.put(PLAIN, [life, n], [n; 1000]);
            set.put(OTHER, b"lives", [life]);
            store.writer.write(set, durability).unwrap();
        }
        if life % 2 == 0 {
            store.writer.sync().unwrap();
        }
    }
}

fn a_store_is_open_once(place: &mut Place<'_>) {
    let locked = |place: &mut Place<'_>, who: &str| {
        let again = place.disk.stores().open(&place.name, &schema());
        let error = failure(again.map(|_| ()), "opening a store twice");
        assert!(matches!(error, StoreError::Locked(_)), "while {who} is there: {error}");
    };
    let store = place.open();
    locked(place, "the store");
    let stores = place.disk.stores();
    let name = place.name.clone();
    let error = failure(stores.wipe(&name), "wiping an open store");
    assert!(matches!(error, StoreError::Locked(_)), "{error}");

    let view = store.view();
    let (reader, writer) = (store.reader, store.writer);
    drop(reader);
    locked(place, "the writer");
    drop(writer);
    locked(place, "a view");
    drop(view);
    // Another store is another matter.
    let beside = place.beside("other");
    let (_reader, _writer) = stores.open(&beside, &schema()).unwrap();
    drop(place.open());
}

fn tables_can_be_added_and_not_lost(place: &mut Place<'_>) {
    place.open().put(PLAIN, b"k", b"v");
    let more = Schema { tables: vec![PLAIN, PREFIXED, OTHER, UNKNOWN] };
    let (reader, mut writer) = place.disk.stores().open(&place.name, &more).unwrap();
    assert_eq!(content(&*reader.view(), UNKNOWN).len(), 0);
    assert_eq!(content(&*reader.view(), PLAIN).len(), 1);
    let mut set = WriteSet::new();
    set.put(UNKNOWN, b"k", b"v");
    writer.write(set, Durability::Buffered).unwrap();
    drop((reader, writer));

    let fewer = place.disk.stores().open(&place.name, &schema());
    let error = failure(fewer.map(|_| ()), "opening with fewer tables than there are");
    let StoreError::Schema(message) = &error else { panic!("{error}") };
    assert!(message.contains("unknown"), "the message does not name the table: {message}");

    // The same tables in another order are the same tables.
    let moved = |table: Table, index| Table { index, ..table };
    let order = [moved(UNKNOWN, 0), moved(OTHER, 1), moved(PREFIXED, 2), moved(PLAIN, 3)];
    let turned = Schema { tables: order.to_vec() };
    let (reader, _writer) = place.disk.stores().open(&place.name, &turned).unwrap();
    let view = reader.view();
    assert_eq!(order.map(|table| content(&*view, table).len()), [1, 0, 0, 1]);
}

fn schemas_with_gaps_or_twins_are_refused(place: &mut Place<'_>) {
    let gap = Schema { tables: vec![PLAIN, OTHER] };
    let twins = Schema { tables: vec![PLAIN, Table { index: 1, ..PLAIN }] };
    for schema in [gap, twins] {
        let opened = place.disk.stores().open(&place.name, &schema);
        let error = failure(opened.map(|_| ()), "opening with a wrong schema");
        assert!(matches!(error, StoreError::Schema(_)), "{error}");
    }
    drop(place.open());
}

fn a_checkpoint_is_an_image_of_one_moment(place: &mut Place<'_>) {
    let image = place.beside("image");
    let mut store = place.open();
    for n in 0..50_u8 {
        store.write(|set| {
            set.put(PLAIN, [n], noise(500));
            set.put(PREFIXED, [n, n, n], [n]);
        });
        if n == 20 {
            store.writer.flush_unlogged().unwrap();
        }
    }
    let mut unlogged = WriteSet::new();
    unlogged.put(OTHER, b"unlogged", b"v");
    unlogged.delete_range(PREFIXED, KeyRange::new([3], [6]));
    store.writer.write_unlogged(unlogged).unwrap();
    let at = store.view();
    let info = store.writer.checkpoint(&image).unwrap();
    assert_eq!(info.seq, at.seq());
    store.write(|set| {
        set.delete_range(PLAIN, KeyRange::all());
        set.put(OTHER, b"later", b"v");
    });
    drop(store.writer);

    let (reader, mut writer) = place.disk.stores().open(&image, &schema()).unwrap();
    let seen = reader.view();
    assert!(seen.seq() >= info.seq);
    for table in [PLAIN, PREFIXED, OTHER] {
        assert_eq!(content(&*seen, table), content(&*at, table), "table {}", table.name);
    }
    assert_eq!(content(&*seen, PLAIN).len(), 50);
    assert_eq!(content(&*seen, PREFIXED).len(), 47);
    // The image is a store of its own.
    let mut set = WriteSet::new();
    set.put(OTHER, b"in the image", b"v");
    writer.write(set, Durability::Synced).unwrap();
    drop((seen, reader, writer, at, store.reader));
    assert_eq!(place.open().keys(OTHER), [b"later".as_slice(), b"unlogged"]);
    place.disk.stores().wipe(&image).unwrap();
}

fn a_checkpoint_replaces_nothing(place: &mut Place<'_>) {
    let image = place.beside("image");
    let mut store = place.open();
    store.put(PLAIN, b"k", b"1");
    store.writer.checkpoint(&image).unwrap();
    store.put(PLAIN, b"k", b"2");
    failure(store.writer.checkpoint(&image), "a second checkpoint of one name");
    failure(store.writer.checkpoint(&place.name), "a checkpoint in place of the store");
    // Neither has cost anything.
    store.put(PLAIN, b"k", b"3");
    drop(store);
    assert_eq!(place.open().get(PLAIN, b"k").as_deref(), Some(b"3".as_slice()));
    let (reader, writer) = place.disk.stores().open(&image, &schema()).unwrap();
    let value = reader.view().get(PLAIN, b"k").unwrap();
    assert_eq!(value.as_deref(), Some(b"1".as_slice()));
    drop((reader, writer));
    place.disk.stores().wipe(&image).unwrap();
}

fn an_adopted_checkpoint_takes_the_place_of_the_store(place: &mut Place<'_>) {
    let image = place.beside("image");
    let fresh = place.beside("fresh");
    let mut store = place.open();
    store.put(PLAIN, b"k", b"then");
    store.writer.checkpoint(&image).unwrap();
    store.write(|set| {
        set.put(PLAIN, b"k", b"now");
        set.put(OTHER, b"k", b"now");
    });
    drop(store);
    let stores = place.disk.stores();
    stores.adopt_checkpoint(&image, &place.name).unwrap();
    let mut store = place.open();
    assert_eq!(store.get(PLAIN, b"k").as_deref(), Some(b"then".as_slice()));
    assert_eq!(store.get(OTHER, b"k"), None);
    // Where there was no store before.
    store.writer.checkpoint(&image).unwrap();
    stores.adopt_checkpoint(&image, &fresh).unwrap();
    for name in [&fresh, &image] {
        let (reader, _writer) = stores.open(name, &schema()).unwrap();
        let there = content(&*reader.view(), PLAIN).len();
        assert_eq!(there, usize::from(name == &fresh), "in {}", name.0);
    }
    for name in [&fresh, &image] {
        stores.wipe(name).unwrap();
    }
}

fn an_adoption_that_cannot_be_leaves_the_store(place: &mut Place<'_>) {
    let image = place.beside("image");
    let nowhere = place.beside("nowhere");
    let mut store = place.open();
    store.put(PLAIN, b"k", b"1");
    store.writer.checkpoint(&image).unwrap();
    store.put(PLAIN, b"k", b"2");
    let stores = place.disk.stores();
    let name = place.name.clone();
    let locked = failure(stores.adopt_checkpoint(&image, &name), "adopting over an open store");
    assert!(matches!(locked, StoreError::Locked(_)), "{locked}");
    let locked = failure(stores.adopt_checkpoint(&name, &image), "adopting an open store");
    assert!(matches!(locked, StoreError::Locked(_)), "{locked}");
    drop(store);
    failure(stores.adopt_checkpoint(&nowhere, &name), "adopting nothing");
    failure(stores.adopt_checkpoint(&name, &name), "adopting itself");
    assert_eq!(place.open().get(PLAIN, b"k").as_deref(), Some(b"2".as_slice()));
    // The checkpoint is still good.
    stores.adopt_checkpoint(&image, &name).unwrap();
    assert_eq!(place.open().get(PLAIN, b"k").as_deref(), Some(b"1".as_slice()));
}

fn a_wiped_store_is_empty(place: &mut Place<'_>) {
    let stores = place.disk.stores();
    stores.wipe(&place.name).unwrap();
    stores.wipe(&StoreName("never-there".into())).unwrap();
    let mut store = place.open();
    store.put(PLAIN, b"k", b"v");
    store.writer.flush_unlogged().unwrap();
    store.put(OTHER, b"k", b"v");
    drop(store);
    stores.wipe(&place.name).unwrap();
    let store = place.open();
    assert_eq!([PLAIN, PREFIXED, OTHER].map(|table| store.keys(table).len()), [0, 0, 0]);
}

fn stores_do_not_see_each_other(place: &mut Place<'_>) {
    let beside = place.beside("beside");
    let mut store = place.open();
    let (reader, mut writer) = place.disk.stores().open(&beside, &schema()).unwrap();
    store.put(PLAIN, b"k", b"here");
    let mut set = WriteSet::new();
    set.put(PLAIN, b"k", b"there");
    set.put(PLAIN, b"there", b"v");
    writer.write(set, Durability::Buffered).unwrap();
    assert_eq!(store.get(PLAIN, b"k").as_deref(), Some(b"here".as_slice()));
    assert_eq!(store.keys(PLAIN).len(), 1);
    assert_eq!(content(&*reader.view(), PLAIN).len(), 2);
    drop((reader, writer));
    place.disk.stores().wipe(&beside).unwrap();
    assert_eq!(store.keys(PLAIN).len(), 1);
}

fn what_is_stored_takes_space(place: &mut Place<'_>) {
    let stores = place.disk.stores();
    let (reader, mut writer) = stores.open(&place.name, &schema()).unwrap();
    for flush in [false, true] {
        let mut set = WriteSet::new();
        set.put(PREFIXED, [7, 7, u8::from(flush)], noise(1 << 20));
        writer.write(set, Durability::Buffered).unwrap();
        if flush {
            writer.flush_unlogged().unwrap();
        }
        let sizes = reader.table_bytes();
        let tables: Vec<_> = sizes.iter().map(|(table, _)| *table).collect();
        assert_eq!(tables, schema().tables);
        assert!(sizes[1].1 >= 1 << 20, "a megabyte of noise takes {} bytes", sizes[1].1);
        assert!(sizes[0].1 < 1 << 20, "nothing takes {} bytes", sizes[0].1);
    }
    let usage = stores.usage().unwrap();
    let names: Vec<_> = usage.table_bytes.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let prefixed = usage.table_bytes.iter().find(|(name, _)| name == PREFIXED.name).unwrap();
    assert!(prefixed.1 >= 2 << 20, "{usage:?}");
}
