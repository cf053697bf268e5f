//! Vectors published with the reference's crates. They are data of others and not part of this
//! project: tests read them where Cargo keeps the sources of crates, and say so if they are not
//! there.

use std::path::PathBuf;

use lockstep_types::{Address, B256, Bytes, Event, L2ToL1Log};
use serde_json::Value;

/// The file at `path` in the sources of the crate whose folder begins with `folder`.
pub(crate) fn read(folder: &str, path: &str) -> Option<Vec<u8>> {
    let file = find(folder).map(|folder| folder.join(path)).filter(|file| file.exists());
    let Some(file) = file else {
        #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
        {
            eprintln!("SKIPPED: no {path} of {folder} in Cargo's registry");
        }
        return None;
    };
    Some(std::fs::read(file).unwrap())
}

/// As [`read`], parsed.
pub(crate) fn json(folder: &str, path: &str) -> Option<Value> {
    Some(serde_json::from_slice(&read(folder, path)?).unwrap())
}

fn find(prefix: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let mut found: Vec<PathBuf> = children(home.join("registry/src"))
        .into_iter()
        .flat_map(children)
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .collect();
    found.sort();
    found.pop()
}

fn children(folder: PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn word(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

/// A number in hexadecimal, without leading zeros.
pub(crate) fn number(value: &Value) -> B256 {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    format!("{digits:0>64}").parse().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let byte = |value: &Value| u8::try_from(value.as_u64().unwrap()).unwrap();
    value.as_array().unwrap().iter().map(byte).collect()
}

pub(crate) fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

/// The event with the index of its transaction.
pub(crate) fn event(value: &Value) -> (u32, Event) {
    let topics = value["indexed_topics"].as_array().unwrap().iter().map(word).collect();
    let data = Bytes::from(bytes(&value["value"]));
    let tx_index = u32::try_from(value["location"][1].as_u64().unwrap()).unwrap();
    (tx_index, Event { address: address(&value["address"]), topics, data })
}

pub(crate) fn logs(value: &Value) -> Vec<L2ToL1Log> {
    let log = |log: &Value| L2ToL1Log {
        shard_id: u8::try_from(log["shard_id"].as_u64().unwrap()).unwrap(),
        is_service: log["is_service"].as_bool().unwrap(),
        tx_index_in_batch: u16::try_from(log["tx_number_in_block"].as_u64().unwrap()).unwrap(),
        sender: address(&log["sender"]),
        key: word(&log["key"]),
        value: word(&log["value"]),
    };
    value.as_array().unwrap().iter().map(log).collect()
}
