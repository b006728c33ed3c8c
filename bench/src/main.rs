//! The program `larder-bench`: `run` measures, `draw` makes plots and tables of what was measured,
//! `client` and `peers` compare with other programs.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The same as the program's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    larder::process::allocator::prepare();
    match larder_bench::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
