//! `portolan-bench`: measures a gateway beside no gateway and beside a bare proxy, in one run on one machine.
//!
//! The load and the upstream share core 0; the proxy or the gateway has core 1 to itself. The systems take turns
//! cell by cell, so that a slow minute of the machine hits all of them. `portolan-bench --help` lists the options.

#![expect(
    clippy::print_stdout,
    reason = "the table, the ready line and the help are what this tool is for"
)]
#![expect(clippy::print_stderr, reason = "progress belongs on stderr")]

mod args;
mod cell;
mod child;
mod foreign;
mod histogram;
mod load;
mod measure;
mod pin;
mod proxy;
mod report;
mod run;
mod stdio;
mod systems;
mod table;
mod upstream;
mod usage;

use std::process::ExitCode;

use crate::args::Command;

/// The only error handling there is: a text for whoever runs the tool.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = match Command::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("portolan-bench: {problem}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => {
            println!("{}", args::HELP);
            Ok(true)
        }
        Command::Upstream(role) => upstream::serve(role).await.map(|()| true),
        Command::HyperProxy(role) => proxy::serve(role).await.map(|()| true),
        Command::Run(options) => run::run_until_signal(*options).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("portolan-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}
