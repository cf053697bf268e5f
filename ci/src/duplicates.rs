//! `cargo ci duplicates`: crates whose types cross our borders are there in one version.
//!
//! Everything else may be duplicated: the EraVM crates bring old versions of many, and two versions
//! of a hash function cost only time to build. Those are counted, not judged.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

use crate::steps::Workspace;

/// Direct dependencies that must have one version. With a major version, it is only that line
/// which must have one version: the EraVM crates are on the line before.
const SINGLE: [(&str, Option<&str>); 15] = [
    ("alloy-primitives", None),
    ("alloy-rlp", None),
    ("bytes", None),
    ("futures", None),
    ("hyper", None),
    ("jsonrpsee", None),
    ("rayon", None),
    ("reqwest", None),
    ("rocksdb", None),
    ("rustls", None),
    ("serde", None),
    ("serde_json", None),
    ("thiserror", Some("2")),
    ("tokio", None),
    ("tracing", None),
];

/// Versions by name of crate.
type Versions = BTreeMap<String, BTreeSet<String>>;

/// Fails if one of [`SINGLE`] occurs in several versions.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let lock = std::fs::read_to_string(workspace.root().join("Cargo.lock"))
        .context("cannot read Cargo.lock")?;
    let versions = parse(&lock);
    let problems = check(&versions, &SINGLE);
    for problem in &problems {
        println!("{problem}");
    }
    let others = versions.values().filter(|versions| versions.len() > 1).count();
    println!("{} crates, {others} of them in several versions", versions.len());
    anyhow::ensure!(problems.is_empty(), "{} crates must have one version", problems.len());
    Ok(())
}

/// Reads the names and versions of a lock file.
fn parse(lock: &str) -> Versions {
    let mut versions = Versions::new();
    let mut name = None;
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = Some(value);
        } else if let Some(version) = quoted(line, "version = ")
            && let Some(name) = name.take()
        {
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    versions
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

/// What is wrong with `versions`: a sentence for each crate in `single` that has more than one. One
/// that has none is wrong as well, for nobody would notice a misspelled name.
fn check(versions: &Versions, single: &[(&str, Option<&str>)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, major) in single {
        let found: Vec<&str> = versions
            .get(*name)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|version| major.is_none_or(|major| version.split('.').next() == Some(major)))
            .collect();
        match found.len() {
            0 => problems.push(format!("{name} is not in Cargo.lock: take it off the list")),
            1 => {}
            _ => problems.push(format!("{name} has several versions: {}", found.join(", "))),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4

[[package]]
name = "serde"
version = "1.0.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
dependencies = [
 "thiserror 2.0.1",
]

[[package]]
name = "thiserror"
version = "1.0.69"

[[package]]
name = "thiserror"
version = "2.0.1"

[[package]]
name = "tokio"
version = "1.40.0"

[[package]]
name = "tokio"
version = "1.41.0"
"#;

    #[test]
    fn a_listed_crate_in_two_versions_is_found() {
        let problems = check(&parse(LOCK), &[("serde", None), ("tokio", None)]);
        assert_eq!(problems, ["tokio has several versions: 1.40.0, 1.41.0"]);
    }

    #[test]
    fn an_older_line_is_no_duplicate_where_only_one_line_is_listed() {
        assert!(check(&parse(LOCK), &[("thiserror", Some("2"))]).is_empty());
        assert_eq!(check(&parse(LOCK), &[("thiserror", None)]).len(), 1);
    }

    #[test]
    fn a_name_that_nobody_depends_on_is_reported() {
        let problems = check(&parse(LOCK), &[("tokyo", None)]);
        assert_eq!(problems, ["tokyo is not in Cargo.lock: take it off the list"]);
    }
}
