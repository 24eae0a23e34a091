//! `portolan-bench`: measures a gateway beside no gateway and beside a bare proxy, in one run on one machine.
//!
//! The load and the upstream share core 0; the proxy or the gateway has core 1 to itself. The systems take turns
//! cell by cell, so that a slow minute of the machine hits all of them. `portolan-bench --help` lists the options.

#![expect(
    clippy::print_stdout,
    reason = "the table and the ready line are what this tool is for"
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

use clap::Parser;

use crate::args::{Cli, Role};

/// The only error handling there is: a text for whoever runs the tool.
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
