//! The house style's picture of layers as data, and the comparison with it.

use super::workspace::{Dependency, Member};

/// A row of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Words,
    Seams,
    Services,
    Stages,
    Assembly,
    Programs,
    /// Behind a seam, known to programs only.
    Implementations,
    /// What tests share. Like an implementation, but no program's business to choose.
    Helpers,
    /// Beside the node.
    Tools,
}

/// Where each crate of the workspace stands. A crate that is missing here is reported.
const ROWS: [(&str, Row); 27] = [
    ("lockstep_types", Row::Words),
    ("lockstep_io", Row::Seams),
    ("lockstep_vm", Row::Seams),
    ("lockstep_wire", Row::Seams),
    ("lockstep_store", Row::Services),
    ("lockstep_pipeline", Row::Services),
    ("lockstep_upstream", Row::Services),
    ("lockstep_replay", Row::Services),
    ("lockstep_sync", Row::Stages),
    ("lockstep_executor", Row::Stages),
    ("lockstep_tree", Row::Stages),
    ("lockstep_commitment", Row::Stages),
    ("lockstep_checkers", Row::Stages),
    ("lockstep_api", Row::Stages),
    ("lockstep_replica", Row::Assembly),
    ("lockstep", Row::Programs),
    ("lockstep_sim", Row::Programs),
    ("lockstep_benches", Row::Programs),
    ("lockstep_io_os", Row::Implementations),
    ("lockstep_io_rocks", Row::Implementations),
    ("lockstep_io_net", Row::Implementations),
    ("lockstep_io_memory", Row::Implementations),
    ("lockstep_vm_era", Row::Implementations),
    ("lockstep_vm_toy", Row::Implementations),
    ("lockstep_io_conformance", Row::Helpers),
    ("lockstep_testvectors", Row::Helpers),
    ("lockstep_ci", Row::Tools),
];

/// An arrow against the rows that is there for a reason.
#[derive(Debug)]
struct Exception {
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: [Exception; 4] = [
    Exception {
        from: "lockstep_api",
        to: "lockstep_commitment",
        reason: "`zks_getL2ToL1LogProof` is a path in the tree of logs that commitments are made of",
    },
    Exception {
        from: "lockstep_api",
        to: "lockstep_tree",
        reason: "`zks_getProof` reads proofs, and only the tree knows how they lie on disk",
    },
    Exception {
        from: "lockstep_pipeline",
        to: "lockstep_store",
        reason: "a stage's error carries the store's, so that the shell can choose a reaction",
    },
    Exception {
        from: "lockstep_replay",
        to: "lockstep_store",
        reason: "what it runs again, and compares with, is what the store holds",
    },
];

/// What tests of any crate may use.
const FOR_TESTS: [&str; 4] =
    ["lockstep_io_memory", "lockstep_vm_toy", "lockstep_testvectors", "lockstep_io_conformance"];

/// Crates of others that only some of ours may name, be it in tests.
const HEAVY: [(&str, &str); 6] = [
    ("zksync_", "lockstep_vm_era"),
    ("zk_evm", "lockstep_vm_era"),
    ("zkevm_", "lockstep_vm_era"),
    ("rocksdb", "lockstep_io_rocks"),
    ("librocksdb", "lockstep_io_rocks"),
    ("reqwest", "lockstep_io_net"),
];

/// Who speaks to the outside, and therefore JSON. Programs and tools may as well.
const JSON: [&str; 4] =
    ["lockstep_wire", "lockstep_upstream", "lockstep_api", "lockstep_testvectors"];

/// Crates that reach the operating system, which `node/` does only through `io`.
const SYSTEM: [&str; 4] = ["mio", "rayon", "reqwest", "rocksdb"];

/// Features of tokio that have or imply a runtime, a clock, files or sockets.
const TOKIO_SYSTEM: [&str; 10] = [
    "fs",
    "full",
    "io-std",
    "net",
    "process",
    "rt",
    "rt-multi-thread",
    "signal",
    "test-util",
    "time",
];

/// What the picture does not show: a sentence for each arrow that is new, and for each crate or
/// exception that this file and the workspace disagree about.
pub(super) fn check(members: &[Member]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in members {
        let Some(from) = row(&member.name) else {
            problems.push(format!("{} has no row: give it one in `ROWS`", member.name));
            continue;
        };
        for dependency in &member.dependencies {
            for reason in objections(member, from, dependency) {
                let kind = if dependency.dev { " (in tests)" } else { "" };
                problems.push(format!(
                    "new arrow: {} -> {}{kind}: {reason}",
                    member.name, dependency.name
                ));
            }
        }
    }
    problems.extend(stale_exceptions(members));
    problems
}

/// All that speaks against the arrow from `member`, which stands in row `from`, to `dependency`.
fn objections(member: &Member, from: Row, dependency: &Dependency) -> Vec<String> {
    if is_exception(&member.name, &dependency.name) {
        return Vec::new();
    }
    let name = dependency.name.as_str();
    let mut objections = Vec::new();
    if let Some(to) = row(name)
        && !may_know(from, to)
        && !(dependency.dev && FOR_TESTS.contains(&name))
    {
        objections.push(format!("{from:?} do not know {to:?}"));
    }
    if let Some((_, owner)) = HEAVY.iter().find(|(prefix, _)| name.starts_with(prefix))
        && member.name != *owner
    {
        objections.push(format!("only {owner} names it"));
    }
    if dependency.dev {
        return objections;
    }
    let beside_the_node = matches!(from, Row::Programs | Row::Tools);
    if name == "serde_json" && !beside_the_node && !JSON.contains(&member.name.as_str()) {
        objections.push("JSON is known to those who speak to the outside".to_owned());
    }
    if member.folder.starts_with("node/") && from != Row::Programs {
        if SYSTEM.contains(&name) {
            objections.push("node/ reaches the operating system through io".to_owned());
        }
        let of_system = |feature: &&String| TOKIO_SYSTEM.contains(&feature.as_str());
        if name == "tokio" {
            for feature in dependency.features.iter().filter(of_system) {
                objections.push(format!("node/ does without its feature `{feature}`"));
            }
        }
    }
    objections
}

/// Whether a crate in row `from` may depend on one in row `to`.
fn may_know(from: Row, to: Row) -> bool {
    match from {
        Row::Words | Row::Tools => false,
        Row::Seams => to == Row::Words,
        Row::Services | Row::Implementations | Row::Helpers => {
            matches!(to, Row::Words | Row::Seams)
        }
        Row::Stages => matches!(to, Row::Words | Row::Seams | Row::Services),
        Row::Assembly => matches!(to, Row::Words | Row::Seams | Row::Services | Row::Stages),
        Row::Programs => !matches!(to, Row::Programs | Row::Tools),
    }
}

/// The row of `name`; `None` for crates of others.
fn row(name: &str) -> Option<Row> {
    ROWS.iter().find(|(known, _)| *known == name).map(|(_, row)| *row)
}

fn is_exception(from: &str, to: &str) -> bool {
    EXCEPTIONS.iter().any(|exception| exception.from == from && exception.to == to)
}

/// Exceptions whose crate is there and whose arrow is not.
fn stale_exceptions(members: &[Member]) -> Vec<String> {
    let stale = |exception: &&Exception| {
        members.iter().any(|member| {
            member.name == exception.from
                && member.dependencies.iter().all(|dependency| dependency.name != exception.to)
        })
    };
    let text = |exception: &Exception| {
        format!(
            "{} -> {} is gone: take it off `EXCEPTIONS` (it said: {})",
            exception.from, exception.to, exception.reason
        )
    };
    EXCEPTIONS.iter().filter(stale).map(text).collect()
}
