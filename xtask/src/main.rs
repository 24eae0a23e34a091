//! Developer commands: `cargo xtask help` lists them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to a person at a terminal"
)]

mod api;
mod bench;
mod cluster;
mod conformance;
mod env;
mod exec;
mod fuzz;
mod part;
mod report;
mod select;
mod storage;
mod structure;
mod tally;
mod test;
mod tools;
mod versions;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test [--only PART]... [--skip PART]... [--list]
    Runs every check and test of the project, and installs what they need.
cargo xtask fuzz [--seconds N] [TARGET]...
    Runs the fuzz targets, each for ten minutes unless told otherwise.
cargo xtask bench [ARG]...
    Builds the benchmark in release and runs it with the given arguments.
cargo xtask cluster up | down | status | images | load IMAGE.tar
    Runs a one-node Kubernetes on this machine for the tests; with KUBECONFIG set, uses that cluster.
cargo xtask conformance [--cell NAME]... [--direct] [--scenario NAME] [--list]
    Runs the official suite directly and through the gateway, and writes docs/conformance.md when it runs all cells.
cargo xtask structure [CRATE]...
    Prints the modules of each library crate, which uses which, and the circles among them.
cargo xtask api [--bless]
    Compares the public API of each library crate with its listing in docs/api, or writes the listing.
cargo xtask help
    Prints this text.";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "test" => test::run(&rest),
        "bench" => bench::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "cluster" => cluster::run(&rest),
        "conformance" => conformance::run(&rest),
        "structure" => structure::run(&rest),
        "api" => api::run(&rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(true)
        }
        other => {
            eprintln!("no command named {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
