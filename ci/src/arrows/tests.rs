//! Hand-made workspaces, each with one thing that is right or wrong.

use serde_json::{Value, json};

use super::{rules, workspace};

/// A package as `cargo metadata` shows it.
fn package(name: &str, folder: &str, dependencies: &[Value]) -> Value {
    json!({
        "name": name,
        "manifest_path": format!("/home/somebody/lockstep/{folder}/Cargo.toml"),
        "dependencies": dependencies,
    })
}

fn normal(name: &str) -> Value {
    json!({"name": name, "kind": null, "features": [], "rename": null})
}

fn dev(name: &str) -> Value {
    json!({"name": name, "kind": "dev", "features": [], "rename": null})
}

fn tokio(features: &[&str]) -> Value {
    json!({"name": "tokio", "kind": null, "features": features, "rename": null})
}

fn problems(packages: &[Value]) -> Vec<String> {
    let metadata =
        json!({"workspace_root": "/home/somebody/lockstep", "packages": packages}).to_string();
    rules::check(&workspace::parse(metadata.as_bytes()).unwrap())
}

fn only_problem(packages: &[Value]) -> String {
    let mut problems = problems(packages);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn arrows_that_point_down_are_fine() {
    let packages = [
        package("lockstep_types", "node/types", &[normal("thiserror")]),
        package("lockstep_vm", "node/vm", &[normal("lockstep_types")]),
        package("lockstep_store", "node/store", &[normal("lockstep_io")]),
        package("lockstep_tree", "node/tree", &[normal("lockstep_store"), tokio(&["sync"])]),
        package("lockstep_replica", "node/replica", &[normal("lockstep_tree")]),
        package("lockstep_io_rocks", "io/rocks", &[normal("lockstep_io"), normal("rocksdb")]),
        package(
            "lockstep",
            "node/bin",
            &[normal("lockstep_replica"), normal("lockstep_io_rocks"), tokio(&["rt"])],
        ),
    ];
    assert_eq!(problems(&packages), [""; 0]);
}

#[test]
fn a_stage_that_knows_another_stage_is_a_new_arrow() {
    let tree = package("lockstep_tree", "node/tree", &[normal("lockstep_executor")]);
    assert_eq!(
        only_problem(&[tree]),
        "new arrow: lockstep_tree -> lockstep_executor: Stages do not know Stages"
    );
}

#[test]
fn tests_do_not_excuse_an_arrow_between_stages() {
    let tree = package("lockstep_tree", "node/tree", &[dev("lockstep_executor")]);
    assert!(only_problem(&[tree]).contains("lockstep_executor (in tests)"));
}

#[test]
fn an_arrow_that_points_up_is_new() {
    let types = package("lockstep_types", "node/types", &[normal("lockstep_vm")]);
    assert!(only_problem(&[types]).ends_with("Words do not know Seams"));
}

#[test]
fn api_may_read_proofs_from_the_tree_and_nothing_from_the_executor() {
    let arrows =
        [normal("lockstep_commitment"), normal("lockstep_tree"), normal("lockstep_executor")];
    let api = package("lockstep_api", "node/api", &arrows);
    assert!(only_problem(&[api]).contains("lockstep_api -> lockstep_executor"));
}

#[test]
fn an_exception_that_nobody_needs_any_more_is_reported() {
    let api = package("lockstep_api", "node/api", &[normal("lockstep_commitment")]);
    assert!(only_problem(&[api]).contains("lockstep_api -> lockstep_tree is gone"));
}

#[test]
fn implementations_are_for_programs_and_some_of_them_for_tests() {
    let for_tests = [dev("lockstep_io_memory"), dev("lockstep_vm_toy")];
    assert_eq!(problems(&[package("lockstep_replica", "node/replica", &for_tests)]), [""; 0]);

    for arrow in [normal("lockstep_io_memory"), dev("lockstep_io_rocks")] {
        let replica = package("lockstep_replica", "node/replica", &[arrow]);
        assert!(only_problem(&[replica]).contains("Assembly do not know Implementations"));
    }
}

#[test]
fn heavy_crates_have_one_owner_each() {
    for (heavy, owner) in [
        ("zksync_multivm", "lockstep_vm_era"),
        ("zksync_types", "lockstep_vm_era"),
        ("rocksdb", "lockstep_io_rocks"),
        ("reqwest", "lockstep_io_net"),
    ] {
        let benches = package("lockstep_benches", "benches", &[dev(heavy)]);
        assert!(only_problem(&[benches]).ends_with(&format!("only {owner} names it")));
        assert_eq!(problems(&[package(owner, "somewhere", &[normal(heavy)])]), [""; 0]);
    }
}

#[test]
fn json_stays_with_those_who_speak_to_the_outside() {
    let arrow = [normal("serde_json")];
    assert_eq!(problems(&[package("lockstep_wire", "node/wire", &arrow)]), [""; 0]);
    assert_eq!(problems(&[package("lockstep", "node/bin", &arrow)]), [""; 0]);
    let store = package("lockstep_store", "node/store", &arrow);
    assert!(only_problem(&[store]).contains("JSON"));
}

#[test]
fn the_node_has_no_runtime_clock_or_sockets_of_its_own() {
    let store = package("lockstep_store", "node/store", &[tokio(&["sync", "time"])]);
    assert!(only_problem(&[store]).contains("feature `time`"));
    let store = package("lockstep_store", "node/store", &[normal("rayon")]);
    assert!(only_problem(&[store]).contains("through io"));
    let os = package("lockstep_io_os", "io/os", &[tokio(&["rt", "time"]), normal("rayon")]);
    assert_eq!(problems(&[os]), [""; 0]);
}

#[test]
fn a_crate_without_a_row_is_reported() {
    let gossip = package("lockstep_gossip", "node/gossip", &[]);
    assert!(only_problem(&[gossip]).contains("lockstep_gossip has no row"));
}

#[test]
fn metadata_of_another_shape_is_refused() {
    assert!(workspace::parse(b"{}").is_err());
    assert!(workspace::parse(br#"{"workspace_root": "/", "packages": []}"#).is_err());
}
