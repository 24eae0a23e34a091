//! `portolan-bench`: compares a gateway with a bare proxy and with no proxy at all, in one run on one machine.
//!
//! The load and the upstream share core 0; the proxy or the gateway has core 1 to itself. The systems take turns within
//! each cell, so that a slow phase of the machine affects all of them. `portolan-bench --help` lists the options.

#![expect(
    clippy::print_stdout,
    reason = "the table and the ready line are what this tool is for"
)]
#![expect(clippy::print_stderr, reason = "progress belongs on stderr")]

mod args;
mod cell;
mod child;
mod histogram;
mod idle;
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

use clap::Parser;

use crate::args::{Cli, Role};

/// Errors are texts for the person at the terminal.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Cli::parse().role() {
        Role::Upstream(options) => upstream::serve(options).await.map(|()| true),
        Role::HyperProxy(options) => proxy::serve(options).await.map(|()| true),
        Role::Run(options) => run::run_until_signal(*options).await,
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
