//! The C library's allocator.

/// From how many bytes on a piece of memory is a large one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 1 << 20;

/// Has pieces of memory from 1 MiB on come from the operating system one by one, and go back to it
/// when they are freed. To be called before other threads are started; does nothing where the C
/// library is not glibc.
///
/// glibc raises that bound to the size of whatever is freed, up to 32 MiB. From then on it takes
/// such pieces from its heaps, keeps them there, and writes zeros over those that must be zero. The
/// virtual machine has a stack of 2 MiB for every call that is open, and uses the first few
/// kilobytes of it: calls that nest as deep as their gas allows would take gigabytes.
pub fn return_large_pieces() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: It sets a number inside of the allocator, under the allocator's own lock.
        #[expect(unsafe_code, reason = "nothing else sets it but the environment")]
        let is_set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        debug_assert_eq!(is_set, 1, "glibc takes up to 32 MiB");
    }
}
