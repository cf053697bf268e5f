//! Truth for tests: finds the recordings of real chains and loads them, and encodes commit
//! transactions.
//!
//! A recording is a folder with `main-node.jsonl.gz`, usually with `golden-api.jsonl.gz` and
//! `l1.json.gz` beside it. Recordings are not part of the project: they lie where
//! `LOCKSTEP_FIXTURES` says, or in `../shared/fixtures` beside the workspace. A test that needs
//! one asks [`recordings_for`], which says loudly on stderr if there is nothing to test with.
//! A recording that is there but cannot be read is a panic: a broken file must not look like a
//! missing one.

#![warn(missing_docs)]

mod answer;
mod commit_calldata;
mod l1;
mod main_node;

use std::path::{Path, PathBuf};

pub use self::{
    answer::{Answer, Exchange, RpcError, request_key},
    commit_calldata::CommitCalldata,
    l1::L1Recording,
    main_node::MainNodeRecording,
};

const MAIN_NODE: &str = "main-node.jsonl.gz";
const GOLDEN_API: &str = "golden-api.jsonl.gz";
const L1: &str = "l1.json.gz";

/// What a real chain, its API and its L1 answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recording {
    /// Where its files lie.
    pub dir: PathBuf,
}

impl Recording {
    /// Name of the folder.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the main node answered.
    ///
    /// # Panics
    ///
    /// If the file is damaged.
    pub fn main_node(&self) -> MainNodeRecording {
        MainNodeRecording::new(exchanges(&self.dir.join(MAIN_NODE)))
    }

    /// What the reference node's API answered, in the order of the file. Empty if not recorded.
    ///
    /// # Panics
    ///
    /// If the file is damaged.
    pub fn golden_api(&self) -> Vec<Exchange> {
        let path = self.dir.join(GOLDEN_API);
        if path.exists() { exchanges(&path) } else { Vec::new() }
    }

    /// What L1 held. `None` if not recorded.
    ///
    /// # Panics
    ///
    /// If the file is damaged.
    pub fn l1(&self) -> Option<L1Recording> {
        let path = self.dir.join(L1);
        let parse = |text: String| {
            serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        path.exists().then(|| parse(unpack(&path)))
    }
}

/// Every recording there is, in order of name. Empty where none lies beside the checkout.
pub fn recordings() -> Vec<Recording> {
    let Ok(entries) = std::fs::read_dir(fixtures_dir()) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(Recording { dir: entry.ok()?.path() }))
        .filter(|recording| recording.dir.join(MAIN_NODE).is_file())
        .collect();
    found.sort();
    found
}

/// Every recording there is; says loudly that `what` is skipped if there is none.
pub fn recordings_for(what: &str) -> Vec<Recording> {
    let found = recordings();
    if found.is_empty() {
        skip_loudly(&format!("{what}: no recording in {}", fixtures_dir().display()));
    }
    found
}

/// Where recordings lie: `LOCKSTEP_FIXTURES`, or `../shared/fixtures` beside the workspace.
pub fn fixtures_dir() -> PathBuf {
    from_env("LOCKSTEP_FIXTURES").unwrap_or_else(|| workspace_dir().join("../shared/fixtures"))
}

/// Where the tools that serve and compare recordings lie: `LOCKSTEP_TOOLS`, or `../shared/tools`
/// beside the workspace. `None` if there is no such folder.
pub fn tools_dir() -> Option<PathBuf> {
    let dir = from_env("LOCKSTEP_TOOLS").unwrap_or_else(|| workspace_dir().join("../shared/tools"));
    dir.is_dir().then_some(dir)
}

/// The root of the workspace that this crate was built in.
pub fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Says on stderr that `what` is not tested here.
#[expect(clippy::print_stderr, reason = "a test that does nothing must be seen doing nothing")]
pub fn skip_loudly(what: &str) {
    eprintln!("SKIPPED: {what}");
}

#[expect(clippy::disallowed_methods, reason = "tests have no config to be handed")]
fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn exchanges(path: &Path) -> Vec<Exchange> {
    let parse = |(index, line): (usize, &str)| {
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), index + 1))
    };
    unpack(path).lines().enumerate().map(parse).collect()
}

fn unpack(path: &Path) -> String {
    let packed = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::io::read_to_string(flate2::read::MultiGzDecoder::new(packed.as_slice()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_recording_can_be_loaded() {
        for recording in recordings_for("loading recordings") {
            let main_node = recording.main_node();
            let head = main_node.head();
            assert!(head > 0, "{} has no blocks", recording.name());
            for number in 0..=head {
                let answer = main_node.answer("en_syncL2Block", &json!([number, true]));
                let block: serde_json::Value = answer.expect("recorded").parse();
                assert_eq!(block["number"], json!(number));
            }
            assert!(!recording.golden_api().is_empty());
            let l1 = recording.l1().expect("recorded");
            assert!(l1.finalized > 0 && !l1.receipts.is_empty() && !l1.blocks.is_empty());
        }
    }
}
