//! What happens when the disk is not what it was: damage, a limit on file sizes, another process.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
};

use lockstep_io::{
    Dir, Durability, KeyRange, Schema, StoreError, StoreName, Stores, Table, View, WriteSet,
};
use lockstep_io_rocks::{RocksConfig, RocksStores};

const TABLE: Table = Table { index: 0, name: "values", prefix_bytes: None };
/// Tells the test that it is the other process.
const CHILD: &str = "LOCKSTEP_TEST_CHILD";

fn schema() -> Schema {
    Schema { tables: vec![TABLE] }
}

fn name() -> StoreName {
    StoreName("main".into())
}

fn stores(folder: &Path) -> RocksStores {
    RocksStores::new(folder.to_path_buf(), RocksConfig::default())
}

/// The value of `key`: long, and unlike any other.
fn value(key: u32) -> Vec<u8> {
    (0..250_u32)
        .flat_map(|n| {
            key.wrapping_mul(0x9e37_79b9).rotate_left(n % 32).wrapping_add(n).to_le_bytes()
        })
        .collect()
}

fn write(folder: &Path, keys: std::ops::Range<u32>) {
    let (_reader, mut writer) = stores(folder).open(&name(), &schema()).unwrap();
    let mut set = WriteSet::new();
    for key in keys {
        set.put(TABLE, key.to_be_bytes(), value(key));
    }
    writer.write(set, Durability::Synced).unwrap();
    writer.flush_unlogged().unwrap();
}

/// Runs the test called `test` of this file in a process of its own, through `shell`.
fn other_process(test: &str, shell: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder);
    command
}

#[test]
fn damaged_files_are_told_and_never_read_as_something_else() {
    const KEYS: u32 = 2000;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0..KEYS);
    let store = folder.path().join("main");
    let tables: Vec<_> = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sst"))
        .collect();
    assert!(!tables.is_empty(), "nothing has been written to a sorted file");

    // One bit in each of many places, one place at a time; data, filters, index and footer.
    let mut told_count = 0;
    for table in &tables {
        let file = fs::OpenOptions::new().read(true).write(true).open(table).unwrap();
        let len = file.metadata().unwrap().len();
        for place in 0..12 {
            let at = place * (len - 1) / 11;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            if is_told(folder.path(), KEYS) {
                told_count += 1;
            }
            file.write_all_at(&byte, at).unwrap();
        }
    }
    assert!(told_count >= 6, "only {told_count} damages were told");
    assert!(!is_told(folder.path(), KEYS), "an undamaged store was called damaged");
}

/// Whether something of the store is called damaged; panics if something is wrong instead.
fn is_told(folder: &Path, key_count: u32) -> bool {
    let is_damage = |error: StoreError| match error {
        StoreError::Corrupt { .. } => true,
        error @ (StoreError::Full(_)
        | StoreError::Io(_)
        | StoreError::Poisoned
        | StoreError::Fenced
        | StoreError::NotInMemory
        | StoreError::Locked(_)
        | StoreError::Schema(_)) => panic!("damage was called: {error}"),
    };
    let (reader, _writer) = match stores(folder).open(&name(), &schema()) {
        Ok(halves) => halves,
        Err(error) => return is_damage(error),
    };
    let view = reader.view();
    let mut told = false;
    for key in 0..key_count {
        match view.get(TABLE, &key.to_be_bytes()) {
            Ok(read) => assert_eq!(read.as_deref(), Some(value(key).as_slice()), "key {key}"),
            Err(error) => told |= is_damage(error),
        }
    }
    scan_is_true_as_far_as_it_goes(&*view, key_count) || told
}

/// Whether a scan ends in an error that calls it damaged.
fn scan_is_true_as_far_as_it_goes(view: &dyn View, key_count: u32) -> bool {
    let mut next = 0_u32;
    for item in view.scan(TABLE, KeyRange::all(), Dir::Up) {
        match item {
            Ok((key, read)) => {
                assert_eq!((key.as_slice(), &*read), (&next.to_be_bytes()[..], &*value(next)));
                next += 1;
            }
            Err(StoreError::Corrupt { table, .. }) => {
                assert_eq!(table, TABLE.name);
                return true;
            }
            Err(error) => panic!("damage was called: {error}"),
        }
    }
    assert_eq!(next, key_count, "a scan ended early and did not say why");
    false
}

#[test]
fn a_second_process_finds_the_store_locked() {
    if let Some(folder) = env::var_os(CHILD) {
        let (_reader, _writer) = stores(Path::new(&folder)).open(&name(), &schema()).unwrap();
        std::io::stdout().write_all(b"\nopen\n").unwrap();
        // Until the parent has looked: it closes our input.
        assert_eq!(std::io::stdin().lines().count(), 0);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shell = r#"exec "$@""#;
    let mut holder = other_process("a_second_process_finds_the_store_locked", shell, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept until the end: the other process must find somebody who listens.
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "open"), "the other process failed");

    let stores = stores(folder.path());
    let Err(StoreError::Locked(message)) = stores.open(&name(), &schema()).map(|_| ()) else {
        panic!("two processes have the store open");
    };
    assert!(message.contains(&format!("process {}", holder.id())), "{message}");
    assert!(message.contains(&*folder.path().join("main").to_string_lossy()), "{message}");
    assert!(matches!(stores.wipe(&name()), Err(StoreError::Locked(_))));

    drop(holder.stdin.take());
    assert!(lines.all(|line| line != "open"));
    assert!(holder.wait().unwrap().success());
    drop(stores.open(&name(), &schema()).unwrap());
}

#[test]
fn a_write_that_the_system_refuses_poisons_and_loses_nothing_before_it() {
    const NAME: &str = "a_write_that_the_system_refuses_poisons_and_loses_nothing_before_it";
    if let Some(folder) = env::var_os(CHILD) {
        let (reader, mut writer) = stores(Path::new(&folder)).open(&name(), &schema()).unwrap();
        let mut written = 0_u32;
        let error = loop {
            let mut set = WriteSet::new();
            for key in written..written + 100 {
                set.put(TABLE, key.to_be_bytes(), value(key));
            }
            match writer.write(set, Durability::Buffered) {
                Ok(_) => written += 100,
                Err(error) => break error,
            }
            assert!(written < 10_000, "the limit was not reached");
        };
        assert!(matches!(error, StoreError::Io(_)), "{error}");
        assert_eq!(writer.write(WriteSet::new(), Durability::Buffered), Err(StoreError::Poisoned));
        assert_eq!(writer.sync(), Err(StoreError::Poisoned));
        let view = reader.view();
        assert_eq!(view.get(TABLE, &0_u32.to_be_bytes()).unwrap().as_deref(), Some(&*value(0)));
        std::io::stdout().write_all(format!("\nwritten {written}\n").as_bytes()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // No file longer than a megabyte; refused with an error instead of a signal.
    let shell = r#"trap '' XFSZ; ulimit -f 2048; exec "$@""#;
    let output = other_process(NAME, shell, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let written = said.lines().find_map(|line| line.strip_prefix("written ")).unwrap();
    let written: u32 = written.parse().unwrap();
    assert!(written >= 100, "nothing was written before the limit");

    let (reader, mut writer) = stores(folder.path()).open(&name(), &schema()).unwrap();
    let view = reader.view();
    let items: Vec<_> = view.scan(TABLE, KeyRange::all(), Dir::Up).map(Result::unwrap).collect();
    let count = u32::try_from(items.len()).unwrap();
    assert!(
        count == written || count == written + 100,
        "{written} were acknowledged, {count} are there: the last set must be whole or absent"
    );
    for (n, (key, read)) in (0..).zip(&items) {
        assert_eq!((key.as_slice(), &**read), (&u32::to_be_bytes(n)[..], &*value(n)));
    }
    writer.write(WriteSet::new(), Durability::Synced).unwrap();
}
