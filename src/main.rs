//! The `lakebed` program.

use std::process::ExitCode;

/// Gives memory back to the system when queries end, and serves many threads well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages. Buffers live for milliseconds here: clearing 2 MB where a few KB are wanted takes
    // more time than page table walks do, and memory that nobody uses counts as ours.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    lakebed::vector::allocator::keep_freed_memory();
    lakebed::cli::run()
}
