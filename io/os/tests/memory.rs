//! Memory that is asked for and not used takes none, whatever was freed before.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::hint::black_box;

/// As the virtual machine asks for its stacks.
const PIECE: usize = 2 << 20;
const PIECES: usize = 200;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn pieces() -> Vec<Vec<u8>> {
    (0..PIECES).map(|_| black_box(vec![0; PIECE])).collect()
}

#[test]
fn large_pieces_that_nobody_uses_take_no_memory() {
    lockstep_io_os::return_large_pieces();
    for _ in 0..3 {
        let before = resident_kib();
        let all = pieces();
        let taken = resident_kib().saturating_sub(before);
        assert!(taken < 20 << 10, "{PIECES} pieces of {PIECE} bytes took {taken} KiB");
        drop(all);
    }
}
