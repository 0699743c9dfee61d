//! The `jitney` program: everything is in the library's `cli` room.

use std::process::ExitCode;

/// A request makes and drops some hundred small values, in threads that hand them to each other: this costs less of them than
/// the system's allocator, and a tenth of a mint. Without transparent huge pages: they double what an idle broker holds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jitney::cli::main()
}
