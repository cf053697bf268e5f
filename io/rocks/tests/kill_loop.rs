//! Process death at any time: the store is what it was after some write set at or after the last
//! acknowledged one (C1, C2, C4).
//!
//! A child, which is this test in a process of its own, writes numbered write sets whose content
//! follows from their number, and says each number when it is acknowledged. The parent kills it
//! with SIGKILL at a random time and compares what it finds with plain maps.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use lockstep_io::{
    Dir, Durability, KeyRange, Schema, StoreName, Stores, Table, View, WriteSet,
    store::{Change, OpenStore},
};
use lockstep_io_rocks::{RocksConfig, RocksStores};
use rand::{Rng, SeedableRng, rngs::SmallRng};

const TEST: &str = "a_killed_process_leaves_the_state_after_some_acknowledged_write_set";
/// Tells the test that it is the child, and where its data is.
const CHILD: &str = "LOCKSTEP_TEST_KILL_LOOP";
const SEED: u64 = 0x010c_57e9;
const KILLS: u32 = 30;

const CURSOR: Table = Table { index: 0, name: "cursor", prefix_bytes: None };
const STATE: Table = Table { index: 1, name: "state", prefix_bytes: Some(4) };
const BLOCKS: Table = Table { index: 2, name: "blocks", prefix_bytes: None };
const TABLES: [Table; 3] = [CURSOR, STATE, BLOCKS];

type Model = [BTreeMap<Vec<u8>, Vec<u8>>; 3];

fn open(folder: &Path) -> OpenStore {
    // So small that files are written and compacted while the process is killed.
    let config = RocksConfig {
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 256 << 10,
        max_open_files: 64,
        max_background_jobs: 2,
    };
    let schema = Schema { tables: TABLES.to_vec() };
    RocksStores::new(folder.to_path_buf(), config).open(&StoreName("main".into()), &schema).unwrap()
}

/// The last write set that `view` shows; 0 if there is none.
fn cursor(view: &dyn View) -> u32 {
    let bytes = view.get(CURSOR, b"last").unwrap();
    bytes.map_or(0, |bytes| u32::from_be_bytes(bytes[..].try_into().unwrap()))
}

/// Write set `number`, from 1: of any size, over all tables.
fn write_set(number: u32) -> WriteSet {
    let mut rng = SmallRng::seed_from_u64(u64::from(number));
    let mut set = WriteSet::new();
    set.put(CURSOR, b"last", number.to_be_bytes());
    for _ in 0..rng.gen_range(1..40) {
        let slot = rng.gen_range(0..300_u32);
        let key = [slot.to_be_bytes(), number.to_be_bytes()].concat();
        set.put(STATE, key, rng.r#gen::<[u8; 32]>());
    }
    let block: Vec<u8> = (0..rng.gen_range(0..6000)).map(|_| rng.r#gen()).collect();
    set.put(BLOCKS, (number % 64).to_be_bytes(), block);
    match number % 5 {
        0 => set.delete(BLOCKS, (number / 2 % 64).to_be_bytes()),
        1 => {
            let slot = rng.gen_range(0..300_u32);
            set.delete_range(STATE, KeyRange::prefix(&slot.to_be_bytes()));
        }
        2 => {
            let slots = [rng.gen_range(0..300_u32), rng.gen_range(0..300_u32)];
            let (low, high) = (slots[0].min(slots[1]), slots[0].max(slots[1]));
            set.delete_range(STATE, KeyRange::new(low.to_be_bytes(), high.to_be_bytes()));
        }
        _ => {}
    }
    set
}

fn durability(number: u32) -> Durability {
    if number.is_multiple_of(7) { Durability::Synced } else { Durability::Buffered }
}

/// Writes one set after another until it is killed.
fn write_until_killed(folder: &Path) -> ! {
    let (reader, mut writer) = open(folder);
    let mut number = cursor(&*reader.view());
    let mut out = std::io::stdout();
    loop {
        number += 1;
        writer.write(write_set(number), durability(number)).unwrap();
        if number.is_multiple_of(50) {
            writer.sync().unwrap();
        }
        out.write_all(format!("\nacknowledged {number}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn apply(model: &mut Model, set: WriteSet) {
    for change in set.changes {
        match change {
            Change::Put { table, key, value } => {
                model[table.index].insert(key, value);
            }
            Change::Delete { table, key } => {
                model[table.index].remove(&key);
            }
            Change::DeleteRange { table, range } => {
                model[table.index].retain(|key, _| !range.contains(key));
            }
        }
    }
}

fn content(view: &dyn View) -> Model {
    TABLES.map(|table| {
        let items = view.scan(table, KeyRange::all(), Dir::Up).map(Result::unwrap);
        items.map(|(key, value)| (key, Vec::from(value))).collect()
    })
}

/// When the parent kills.
#[derive(Clone, Copy, Debug)]
enum When {
    /// While the child opens the store, or soon after.
    AfterStart(Duration),
    /// While it writes.
    AfterFirstWrite(Duration),
}

impl When {
    fn draw(rng: &mut SmallRng, kill: u32) -> Self {
        if kill.is_multiple_of(3) {
            Self::AfterStart(Duration::from_micros(rng.gen_range(0..120_000)))
        } else {
            Self::AfterFirstWrite(Duration::from_micros(rng.gen_range(0..150_000)))
        }
    }
}

/// Runs a child until `when`; gives the last number that it said.
fn kill_a_child(folder: &Path, when: When) -> Option<u32> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (first, first_said) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut last = None;
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 {
            // A line that the kill cut short acknowledges nothing.
            let whole = line.strip_suffix('\n').and_then(|line| line.strip_prefix("acknowledged "));
            if let Some(number) = whole {
                last = Some(number.parse().unwrap());
                // The parent does not listen to later ones.
                first.send(()).unwrap_or(());
            }
            line.clear();
        }
        last
    });
    let delay = match when {
        When::AfterStart(delay) => delay,
        When::AfterFirstWrite(delay) => {
            first_said.recv().expect("the child writes something before it ends");
            delay
        }
    };
    thread::sleep(delay);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the child ended by itself");
    drop(first_said);
    reader.join().unwrap()
}

#[test]
fn a_killed_process_leaves_the_state_after_some_acknowledged_write_set() {
    if let Some(folder) = env::var_os(CHILD) {
        write_until_killed(Path::new(&folder));
    }
    let mut rng = SmallRng::seed_from_u64(SEED);
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let mut last = 0;
    let mut story = Vec::new();
    let mut lives_that_wrote = 0;
    for kill in 0..KILLS {
        let when = When::draw(&mut rng, kill);
        let acknowledged = kill_a_child(folder.path(), when);
        let (reader, _writer) = open(folder.path());
        let view = reader.view();
        let found = cursor(&*view);
        story.push(format!("{when:?}: {acknowledged:?} acknowledged, {found} found"));
        let told = format!("seed {SEED:#x}, kill {kill}\n{}", story.join("\n"));

        // C4: nothing that was acknowledged is lost. One more may be there: it was on its way.
        assert!(found >= acknowledged.unwrap_or(last), "lost what was acknowledged; {told}");
        assert!(found >= last, "went back behind an earlier life; {told}");
        assert!(found <= acknowledged.unwrap_or(last) + 1, "found what nobody wrote; {told}");
        // C1, C2: exactly the state after that one, in every table.
        for number in last + 1..=found {
            apply(&mut model, write_set(number));
        }
        for (table, (found, expected)) in TABLES.iter().zip(content(&*view).iter().zip(&model)) {
            assert!(found == expected, "table {} is wrong; {told}", table.name);
        }
        lives_that_wrote += u32::from(acknowledged.is_some());
        last = found;
    }
    let told = format!("seed {SEED:#x}\n{}", story.join("\n"));
    assert!(lives_that_wrote >= KILLS / 2, "hardly any child came to write; {told}");
    assert!(last >= 500, "only {last} write sets in all; {told}");
}
