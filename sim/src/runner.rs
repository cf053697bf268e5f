//! One process for each run: a parent that stays single-threaded forks, and children run.
//!
//! So a run cannot see what ran before it, an abort or a stack overflow fails one seed, and a run
//! that does not end can be ended.

#![expect(unsafe_code, reason = "processes are made, waited for and ended by the C library")]

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How long a run may take by the processor's clock: what it takes on the wall of a machine that
/// does nothing else.
pub const WALL_MAX: Duration = Duration::from_secs(20);

/// As [`WALL_MAX`], of a run with EraVM.
pub const ERA_WALL_MAX: Duration = Duration::from_secs(180);

/// A run is ended, too, when this many times as long has passed on the wall: it waits for what will
/// not come. Much longer, because the machine may be busy with other things.
const WALL_FACTOR: u32 = 30;

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended<T> {
    /// With this result.
    Done(T),
    /// Without a result: what the system said.
    Died(String),
    /// It was ended after [`WALL_MAX`].
    TooSlow,
}

/// A child that runs.
struct Child<J> {
    job: J,
    pid: libc::pid_t,
    pipe: std::fs::File,
    got: Vec<u8>,
    started: Instant,
}

/// Runs `run` for each of `jobs` in a process of its own, at most `workers` at once, and gives each
/// result to `done` as it comes, together with the time that the child took on the processor.
/// `done` says whether to go on; those that run are waited for.
///
/// # Errors
///
/// What the system said when it refused a process or a pipe.
pub fn for_each<J, T: Serialize + DeserializeOwned>(
    jobs: impl IntoIterator<Item = J>,
    workers: usize,
    cpu_max: Duration,
    run: impl Fn(&J) -> T,
    mut done: impl FnMut(J, Ended<T>, Duration) -> bool,
) -> std::io::Result<()> {
    let mut jobs = jobs.into_iter();
    let mut children: BTreeMap<libc::pid_t, Child<J>> = BTreeMap::new();
    let mut goes_on = true;
    loop {
        while goes_on && children.len() < workers.max(1) {
            let Some(job) = jobs.next() else { break };
            let child = start(job, cpu_max, &run)?;
            children.insert(child.pid, child);
        }
        if children.is_empty() {
            return Ok(());
        }
        for pid in readable(&children)? {
            let Some(child) = children.get_mut(&pid) else { continue };
            let mut buffer = [0; 64 << 10];
            let count = child.pipe.read(&mut buffer)?;
            child.got.extend_from_slice(&buffer[..count]);
            if count == 0
                && let Some(child) = children.remove(&pid)
            {
                let (ended, cpu) = reap(&child);
                goes_on &= done(child.job, ended, cpu);
            }
        }
        let late: Vec<_> = children
            .values()
            .filter(|child| child.started.elapsed() > WALL_FACTOR * cpu_max)
            .map(|child| child.pid)
            .collect();
        for pid in late {
            if let Some(child) = children.remove(&pid) {
                // SAFETY: the process is our own child and has not been waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                let (_, cpu) = reap::<J, T>(&child);
                goes_on &= done(child.job, Ended::TooSlow, cpu);
            }
        }
    }
}

fn start<J, T: Serialize>(
    job: J,
    cpu_max: Duration,
    run: &impl Fn(&J) -> T,
) -> std::io::Result<Child<J>> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptors are new and nobody else's.
    let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: the parent has one thread, so the child finds no lock that is held for ever.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(std::io::Error::last_os_error());
    }
    if pid == 0 {
        drop(read);
        limit_cpu(cpu_max);
        let result = run(&job);
        let written = serde_json::to_vec(&result).map_err(std::io::Error::other);
        let status = match written.and_then(|bytes| std::fs::File::from(write).write_all(&bytes)) {
            Ok(()) => 0,
            Err(_nobody_reads) => 1,
        };
        // SAFETY: ends this process at once; nothing of the parent's is flushed twice.
        unsafe { libc::_exit(status) }
    }
    drop(write);
    Ok(Child { job, pid, pipe: read.into(), got: Vec::new(), started: now() })
}

/// The process is ended with `SIGXCPU` when it has run this long, in whole seconds.
fn limit_cpu(cpu_max: Duration) {
    let limit = libc::rlimit { rlim_cur: cpu_max.as_secs(), rlim_max: cpu_max.as_secs() + 5 };
    // SAFETY: the structure is valid for a read. Without the limit, the parent's clock is left.
    unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) };
}

/// Children whose pipe has something to say; waits up to a tenth of a second.
fn readable<J>(children: &BTreeMap<libc::pid_t, Child<J>>) -> std::io::Result<Vec<libc::pid_t>> {
    let mut polled: Vec<_> = children
        .values()
        .map(|child| libc::pollfd { fd: child.pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // SAFETY: the array has that many entries and lives through the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, 100) };
    if ready < 0 {
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let ready = children.keys().zip(&polled).filter(|(_, polled)| polled.revents != 0);
    Ok(ready.map(|(pid, _)| *pid).collect())
}

/// Waits for a child that has closed its pipe or was ended.
fn reap<J, T: DeserializeOwned>(child: &Child<J>) -> (Ended<T>, Duration) {
    let mut status = 0;
    // SAFETY: the structure is plain data; zeroes are a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for a write; the process is our own child.
    let waited = unsafe { libc::wait4(child.pid, &raw mut status, 0, &raw mut usage) };
    let micros =
        |time: libc::timeval| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0);
    let cpu = Duration::from_micros(micros(usage.ru_utime) + micros(usage.ru_stime));
    if waited != child.pid {
        return (Ended::Died("the process was lost".to_owned()), cpu);
    }
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        if signal == libc::SIGXCPU {
            return (Ended::TooSlow, cpu);
        }
        return (Ended::Died(format!("the process was ended by signal {signal}")), cpu);
    }
    match serde_json::from_slice(&child.got) {
        Ok(result) => (Ended::Done(result), cpu),
        Err(error) => {
            let status = libc::WEXITSTATUS(status);
            (
                Ended::Died(format!("the process ended with {status}, without a result: {error}")),
                cpu,
            )
        }
    }
}

/// Real time, for those who wait for runs.
pub fn now() -> Instant {
    Instant::now()
}

/// How many runs make sense at once on this machine.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Children say nothing on the terminal: what a panic says is in the result.
pub fn silence() {
    std::panic::set_hook(Box::new(|info| {
        let is_simulated = std::thread::current().name() == Some("world");
        if !is_simulated
            && let Ok(mut terminal) = OpenOptions::new().append(true).open("/dev/stderr")
        {
            // The terminal is gone: nobody reads it.
            writeln!(terminal, "{info}").unwrap_or(());
        }
    }));
}
