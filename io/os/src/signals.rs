//! SIGTERM and SIGINT.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::info;

/// Exit code after the second signal: 128 + SIGINT, as shells have it.
const EXIT_CODE: i32 = 130;

/// Calls `on_first` at the first signal and ends the process at the second. The signals are caught
/// from the moment this returns.
pub(crate) fn install(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (terminate, interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || watch(&runtime, terminate, interrupt, on_first))?;
    Ok(())
}

fn watch(runtime: &Runtime, mut terminate: Signal, mut interrupt: Signal, on_first: impl FnOnce()) {
    runtime.block_on(async {
        let first = next(&mut terminate, &mut interrupt).await;
        info!(signal = first, "stop asked for");
        on_first();
        let second = next(&mut terminate, &mut interrupt).await;
        exit_at_once(second);
    });
}

/// The name of the next signal that arrives.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[expect(clippy::exit, clippy::print_stderr, reason = "the operator asked a second time")]
fn exit_at_once(signal: &'static str) {
    eprintln!("lockstep: {signal} came while stopping: exiting at once");
    std::process::exit(EXIT_CODE);
}
