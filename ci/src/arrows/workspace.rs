//! The part of `cargo metadata` that the arrows are read from.

use anyhow::Context;
use serde_json::Value;

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name in `Cargo.toml`.
    pub(super) name: String,
    /// Its folder from the root, such as `node/tree`.
    pub(super) folder: String,
    /// All that its `Cargo.toml` names, in that order.
    pub(super) dependencies: Vec<Dependency>,
}

/// An arrow.
#[derive(Debug)]
pub(super) struct Dependency {
    /// The crate's own name, also where it is renamed.
    pub(super) name: String,
    /// Whether only tests, examples and benchmarks see it.
    pub(super) dev: bool,
    /// Features that are asked for by name.
    pub(super) features: Vec<String>,
}

/// Reads the output of `cargo metadata --no-deps`.
///
/// # Errors
///
/// It does not have the shape that cargo documents, or lists no crate.
pub(super) fn parse(metadata: &[u8]) -> anyhow::Result<Vec<Member>> {
    let metadata: Value = serde_json::from_slice(metadata).context("metadata is not JSON")?;
    let root = text(&metadata, "workspace_root")?;
    let members: Vec<Member> = list(&metadata, "packages")?
        .iter()
        .map(|package| member(package, root))
        .collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!members.is_empty(), "metadata lists no crate");
    Ok(members)
}

fn member(package: &Value, root: &str) -> anyhow::Result<Member> {
    let manifest = text(package, "manifest_path")?;
    let folder = manifest
        .strip_prefix(root)
        .and_then(|path| path.strip_suffix("Cargo.toml"))
        .with_context(|| format!("{manifest} does not lie in {root}"))?;
    Ok(Member {
        name: text(package, "name")?.to_owned(),
        folder: folder.trim_matches('/').to_owned(),
        dependencies: list(package, "dependencies")?
            .iter()
            .map(dependency)
            .collect::<anyhow::Result<_>>()?,
    })
}

fn dependency(value: &Value) -> anyhow::Result<Dependency> {
    let features = list(value, "features")?.iter().filter_map(Value::as_str);
    Ok(Dependency {
        name: text(value, "name")?.to_owned(),
        // Normal dependencies have no kind.
        dev: value.get("kind").and_then(Value::as_str) == Some("dev"),
        features: features.map(str::to_owned).collect(),
    })
}

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("metadata has no text `{key}`"))
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a [Value]> {
    let list = value.get(key).and_then(Value::as_array);
    Ok(list.with_context(|| format!("metadata has no list `{key}`"))?)
}
