//! The server that the official conformance suite expects, for the tests of the bridge: with `--stdio`.

fn main() -> std::process::ExitCode {
    portolan_fixtures::everything::main_with_args(std::env::args().skip(1))
}
