//! What code below us asks the operating system behind our back: time, randomness, threads.
//!
//! The C functions that the standard library and other crates call are defined here once more; the
//! linker takes ours. On a simulated thread they answer from the simulation, elsewhere they pass
//! the call on. So the order of a `HashMap` follows from the seed, `Instant::now` is simulated time
//! and nobody can start a thread.

#![expect(unsafe_code, reason = "C functions of the operating system are replaced and called")]

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, c_int, c_long, c_uint, c_void},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
    time::Duration,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Stack of a simulated thread, bytes.
const STACK_BYTES: usize = 32 << 20;

/// Seconds since the Unix epoch at the beginning of a world, for code that asks behind our back.
const REALTIME_START_S: u64 = 1_704_067_200;

thread_local! {
    /// Randomness of a simulated thread; `None`: this thread is a real one.
    static RANDOM: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
    /// Nanoseconds since the world began; `u64::MAX`: this thread is a real one.
    static NOW: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// How many threads simulated code tried to start in this process.
static THREADS_REFUSED: AtomicU64 = AtomicU64::new(0);

/// Runs `run` on a fresh thread whose time and randomness are simulated, and gives back what it
/// returned, or what it said when it panicked.
///
/// A fresh thread, because the standard library keeps the keys of its hash maps per thread.
///
/// # Errors
///
/// The message of the panic, or that no thread could be started.
pub fn on_simulated_thread<T: Send + 'static>(
    seed: u64,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let simulated = move || {
        RANDOM.set(Some(ChaCha8Rng::seed_from_u64(seed ^ 0x0005_e5ca_1100_5eed)));
        NOW.set(0);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        NOW.set(u64::MAX);
        RANDOM.set(None);
        done
    };
    let thread = std::thread::Builder::new().name("world".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(simulated).map_err(|error| format!("no thread: {error}"))?;
    match thread.join() {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) | Err(panic) => Err(super::executor::message(panic.as_ref())),
    }
}

/// How many threads simulated code tried to start in this process; each attempt failed.
pub fn threads_refused() -> u64 {
    THREADS_REFUSED.load(Ordering::SeqCst)
}

/// Tells the time on this thread, if it is simulated.
pub(super) fn set_now(now: Duration) {
    if NOW.get() != u64::MAX {
        NOW.set(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX - 1));
    }
}

/// Fills `bytes` if this thread is simulated.
fn simulated_random(bytes: &mut [u8]) -> bool {
    // While the thread is being torn down it is a real one.
    let filled = RANDOM.try_with(|random| match &mut *random.borrow_mut() {
        Some(random) => {
            random.fill_bytes(bytes);
            true
        }
        None => false,
    });
    filled.unwrap_or(false)
}

fn simulated_now() -> Option<u64> {
    NOW.try_with(Cell::get).ok().filter(|now| *now != u64::MAX)
}

/// The operating system's function called `name`, looked up once.
fn real(slot: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let known = slot.load(Ordering::Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the name is a C string; the handle asks for the definition after ours.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "the C library has no {name:?}");
    slot.store(found, Ordering::Relaxed);
    found
}

/// As the C library's function of this name.
///
/// # Safety
///
/// `buffer` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if !buffer.is_null() {
        // SAFETY: the caller promises that the buffer is that long; bytes have no invalid value.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        if simulated_random(bytes) {
            return isize::try_from(length).unwrap_or(isize::MAX);
        }
    }
    type Real = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;
    // SAFETY: the symbol has this signature in every C library for Linux.
    let real: Real = unsafe { std::mem::transmute(real(&REAL, c"getrandom")) };
    // SAFETY: the arguments are the caller's.
    unsafe { real(buffer, length, flags) }
}

/// As the C library's function of this name: a system call by number. `getrandom` is made this way
/// by crates that do not want to depend on the C library's version.
///
/// # Safety
///
/// As the system call says.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if number == libc::SYS_getrandom
        && let Ok(length) = usize::try_from(b)
        && let Ok(address) = usize::try_from(a)
        && address != 0
    {
        let buffer = std::ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: the system call demands that the buffer is that long.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
        if simulated_random(bytes) {
            return b;
        }
    }
    type Real = unsafe extern "C" fn(c_long, ...) -> c_long;
    // SAFETY: the symbol has this signature in every C library for Linux.
    let real: Real = unsafe { std::mem::transmute(real(&REAL, c"syscall")) };
    // SAFETY: the arguments are the caller's; surplus ones are ignored by the kernel.
    unsafe { real(number, a, b, c, d, e, f) }
}

/// As the C library's function of this name.
///
/// # Safety
///
/// `time` is valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if let Some(now) = simulated_now()
        && !time.is_null()
    {
        let is_wall = clock == libc::CLOCK_REALTIME || clock == libc::CLOCK_REALTIME_COARSE;
        let start_s = if is_wall { REALTIME_START_S } else { 0 };
        let told = libc::timespec {
            tv_sec: i64::try_from(start_s + now / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(now % 1_000_000_000).unwrap_or(0),
        };
        // SAFETY: the caller promises that the pointer is valid for a write.
        unsafe { time.write(told) };
        return 0;
    }
    type Real = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
    // SAFETY: the symbol has this signature in every C library for Linux.
    let real: Real = unsafe { std::mem::transmute(real(&REAL, c"clock_gettime")) };
    // SAFETY: the arguments are the caller's.
    unsafe { real(clock, time) }
}

/// As the C library's function of this name; a simulated thread cannot start others.
///
/// # Safety
///
/// As POSIX says.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if simulated_now().is_some() {
        THREADS_REFUSED.fetch_add(1, Ordering::SeqCst);
        return libc::EAGAIN;
    }
    type Real = unsafe extern "C" fn(
        *mut libc::pthread_t,
        *const libc::pthread_attr_t,
        extern "C" fn(*mut c_void) -> *mut c_void,
        *mut c_void,
    ) -> c_int;
    // SAFETY: the symbol has this signature in every C library for Linux.
    let real: Real = unsafe { std::mem::transmute(real(&REAL, c"pthread_create")) };
    // SAFETY: the arguments are the caller's.
    unsafe { real(thread, attributes, start, argument) }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        time::{Instant, SystemTime},
    };

    use super::*;

    #[test]
    fn the_order_of_a_hash_map_follows_from_the_seed() {
        let order = |seed| {
            let run = || {
                let map: HashMap<u32, u32> = (0..64).map(|n| (n, n)).collect();
                map.into_keys().collect::<Vec<_>>()
            };
            on_simulated_thread(seed, run).unwrap()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn time_of_the_standard_library_is_simulated() {
        let (passed, wall) = on_simulated_thread(1, || {
            let before = Instant::now();
            set_now(Duration::from_secs(7));
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            (before.elapsed(), wall)
        })
        .unwrap();
        assert_eq!(passed, Duration::from_secs(7));
        assert_eq!(wall, Duration::from_secs(REALTIME_START_S + 7));
        let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(real.as_secs(), REALTIME_START_S);
    }

    #[test]
    fn randomness_by_system_call_follows_from_the_seed() {
        let draw = |seed| {
            let run = || {
                let mut bytes = [0_u8; 16];
                let at = c_long::try_from(bytes.as_mut_ptr().expose_provenance()).unwrap();
                // SAFETY: the buffer is 16 bytes long.
                let drawn = unsafe { syscall(libc::SYS_getrandom, at, 16, 0, 0, 0, 0) };
                assert_eq!(drawn, 16);
                bytes
            };
            on_simulated_thread(seed, run).unwrap()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_simulated_thread_cannot_start_others() {
        let before = threads_refused();
        let started = on_simulated_thread(1, || {
            std::thread::Builder::new().spawn(|| ()).map(|_| ()).map_err(|error| error.kind())
        });
        assert!(started.unwrap().is_err());
        assert!(threads_refused() > before);
    }

    #[test]
    fn a_panic_is_told() {
        let told = on_simulated_thread(1, || panic!("as {}", "planned"));
        assert_eq!(told, Err::<(), _>("as planned".to_owned()));
    }
}
