//! The `lakebed` program.

use std::process::ExitCode;

/// Gives memory back to the system when queries end, and serves many threads well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Until it is known how much memory there may be.
    lakebed::vector::allocator::allow_huge_pages(0);
    lakebed::vector::allocator::keep_freed_memory();
    lakebed::cli::run()
}
