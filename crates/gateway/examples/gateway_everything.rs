//! The everything server behind pipes, which the tests of this crate put a gateway in front of.

fn main() -> std::process::ExitCode {
    let args = std::env::args().skip(1);
    portolan_fixtures::everything::main_with_args(std::iter::once("--stdio".to_owned()).chain(args))
}
