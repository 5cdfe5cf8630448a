//! Settings of the program's allocator.

use std::ffi::c_long;

/// `mi_option_purge_delay` in version 2 of mimalloc, which is the one that is built.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds.
const KEPT: c_long = 50;

/// Lets the allocator keep what is freed a moment longer before it goes back to the system (arenas ten times as long). Operators
/// free and allocate the same buffers again and again; getting them as fresh pages each time takes up to a quarter of a query's
/// time. Who sets the allocator's own variable for it has decided otherwise.
pub fn keep_freed_memory() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
        return;
    }
    // SAFETY: stores a number that the allocator looks at when memory is freed; every number is allowed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT) }
}

/// The least memory limit with which huge pages are worth their memory.
const HUGE_PAGES_FROM: usize = 2 << 30;

/// Whether the allocator, which asks for huge pages (2 MB), gets them in a process that may use `limit` bytes. Making
/// small pages one by one takes up to a sixth of a short query's time; but of a huge page all is resident as soon as a byte is used.
#[cfg(target_os = "linux")]
pub fn allow_huge_pages(limit: usize) {
    // Where the system does not know of them there is nothing to allow.
    let _ = rustix::thread::disable_transparent_huge_pages(limit < HUGE_PAGES_FROM);
}

/// Other systems have their own way.
#[cfg(not(target_os = "linux"))]
pub fn allow_huge_pages(_limit: usize) {}

/// Gives what this thread keeps back to the system at once if the process has more than `limit` resident bytes.
pub fn give_back_beyond(limit: usize) {
    if resident_bytes().is_some_and(|bytes| bytes > limit) {
        // SAFETY: frees only what nobody has.
        unsafe { libmimalloc_sys::mi_collect(true) }
    }
}

/// What of the process is in memory, where the system tells it.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_purge_delay() {
        let delay = || {
            // SAFETY: reads a number.
            unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
        };
        assert_eq!(delay(), 10, "the default of this option, and of no other");
        keep_freed_memory();
        assert_eq!(delay(), KEPT);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn huge_pages_are_for_those_with_memory() {
        let allowed = |limit| {
            allow_huge_pages(limit);
            !rustix::thread::transparent_huge_pages_are_disabled().unwrap()
        };
        assert!(allowed(16 << 30));
        assert!(!allowed(256 << 20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_resident_size_is_told_by_the_system() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        give_back_beyond(0);
    }
}
