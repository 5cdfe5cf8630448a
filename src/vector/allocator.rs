//! Settings of the program's allocator.

use std::ffi::c_long;

/// `mi_option_purge_delay` in version 2 of mimalloc, which is the one that is built.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds.
const KEPT: c_long = 50;

/// Lets the allocator keep what is freed a moment longer before it goes back to the system (arenas ten times as long; a second
/// showed in the resident size of sorts with little memory). Operators free and allocate the
/// same buffers again and again; getting them as fresh pages each time takes up to a quarter of a query's time.
pub fn keep_freed_memory() {
    // SAFETY: stores a number that the allocator looks at when memory is freed; every number is allowed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT) }
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
}
