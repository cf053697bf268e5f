//! The promises of the seams, kept by the operating system.

use lockstep_io_conformance as conformance;
use lockstep_io_os::{OsConfig, OsRuntime};

#[test]
fn the_os_keeps_the_promises_of_the_clock() {
    let os = OsRuntime::new(OsConfig { cpu_threads: 1, disk_threads_max: 1 }).unwrap();
    os.block_on(conformance::clock::check(&*os.clock()));
}

#[test]
fn the_os_keeps_the_promises_of_entropy() {
    let os = OsRuntime::new(OsConfig { cpu_threads: 1, disk_threads_max: 1 }).unwrap();
    conformance::entropy::check(&*os.entropy());
}

#[test]
fn the_os_keeps_the_promises_of_tasks() {
    for cpu_threads in [1, 3] {
        let os = OsRuntime::new(OsConfig { cpu_threads, disk_threads_max: 2 }).unwrap();
        os.block_on(conformance::tasks::check(os.tasks(), os.clock()));
    }
}
