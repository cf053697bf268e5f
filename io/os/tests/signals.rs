//! SIGTERM and SIGINT, sent to a process of their own: this test binary, started once more.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lockstep_io::Tasks as _;
use lockstep_io_os::{OsConfig, OsRuntime};

const CHILD: &str = "LOCKSTEP_SIGNALS_CHILD";

/// What the child does: says when it is ready, waits for a stop, says so, and then either ends or
/// hangs with every thread of its runtime busy.
fn be_the_child(after: &str) {
    let os = OsRuntime::new(OsConfig { cpu_threads: 1, disk_threads_max: 1 }).unwrap();
    let tasks = os.tasks();
    tasks.install_signals().unwrap();
    say("ready");
    os.block_on(async {
        tasks.shutdown().await;
        say("stopping");
        if after == "hang" {
            std::thread::sleep(Duration::from_secs(60));
        }
    });
}

fn say(word: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nchild: {word}").unwrap();
    stdout.flush().unwrap();
}

fn start_child(test: &str, after: &str) -> (Child, impl FnMut(&str)) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, after)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wait_for = move |word: &str| {
        let wanted = format!("child: {word}");
        assert!(lines.any(|line| line.unwrap() == wanted), "the child ended before: {word}");
    };
    (child, wait_for)
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_asks_for_a_stop() {
    if let Ok(after) = std::env::var(CHILD) {
        return be_the_child(&after);
    }
    for signal in ["-TERM", "-INT"] {
        let (mut child, mut wait_for) = start_child("a_signal_asks_for_a_stop", "end");
        wait_for("ready");
        send(signal, &child);
        wait_for("stopping");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_second_signal_exits_at_once_with_130() {
    if let Ok(after) = std::env::var(CHILD) {
        return be_the_child(&after);
    }
    let (mut child, mut wait_for) = start_child("a_second_signal_exits_at_once_with_130", "hang");
    wait_for("ready");
    send("-TERM", &child);
    wait_for("stopping");
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("SIGINT"), "{stderr}");
}
