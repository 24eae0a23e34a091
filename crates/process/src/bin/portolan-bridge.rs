//! Serves a stdio MCP server as streamable HTTP, inside its pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    portolan_process::bridge::main(std::env::args_os().skip(1), std::env::vars_os())
}
