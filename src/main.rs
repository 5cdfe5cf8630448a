//! The `lakebed` program.

use std::process::ExitCode;

/// Gives memory back to the system when queries end, and serves many threads well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lakebed::cli::run()
}
