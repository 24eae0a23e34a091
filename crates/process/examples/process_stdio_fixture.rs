//! The stdio server that the tests and benchmarks of this crate run.

fn main() -> std::process::ExitCode {
    portolan_fixtures::stdio::main_with_args(std::env::args().skip(1))
}
