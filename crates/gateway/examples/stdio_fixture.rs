//! The stdio server that the tests of this crate put a gateway in front of.

fn main() -> std::process::ExitCode {
    portolan_fixtures::stdio::main_with_args(std::env::args().skip(1))
}
