//! A stdio server as streamable HTTP, for many callers: the program `portolan-bridge`.
//!
//! It runs beside the server in one container, as its parent, and serves the era that the server speaks:
//!
//! - Requests to a modern server are relayed one by one, without sessions.
//! - With a legacy server, the bridge performs the handshake once. Clients open sessions with the bridge, which answers
//!   `initialize` with the server's own result; a request that the server sends in the middle of a call goes to the
//!   session of that call, on the stream of that call.
//!
//! Messages are relayed as raw JSON. `GET /healthz` returns 200 if the server can be called, and the failure if not.
//!
//! A request without a response of the server has a status that says why: 503 if it was not sent to the server, 502 if it
//! was, 504 after a timeout. The body is a JSON-RPC error whose `data` has the failure. If the response is a stream that
//! has begun, the error is its last event.

mod args;
mod auth;
mod body;
mod call;
mod health;
mod init;
mod legacy;
mod lifecycle;
mod listener;
mod modern;
mod notification_stream;
mod relay;
mod reply;
mod request_body;
mod self_install;
mod service;
mod session;
mod stderr;

use std::{ffi::OsString, process::ExitCode};

use self::args::{BridgeConfig, Invocation};
use crate::bridge::stderr::eprint_line;

/// The variable with the token that callers have to send.
const TOKEN: &str = "PORTOLAN_BRIDGE_TOKEN";

/// Runs the program with these arguments, without its own name, and this environment. Returns its exit code: 64 for a
/// wrong command line, that of the server if it cannot be kept running.
///
/// ```
/// let code = portolan_process::bridge::main(["--help".into()], []);
/// assert_eq!(code, std::process::ExitCode::SUCCESS);
/// ```
pub fn main(args: impl IntoIterator<Item = OsString>, env: impl IntoIterator<Item = (OsString, OsString)>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match args::parse(args.clone()) {
        Ok(Invocation::Help) => {
            eprint_line(args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Copy(to)) => self_install::copy_self(&to),
        // The first process of a container has duties of its own, so the bridge is a child of it.
        Ok(Invocation::Serve(_)) if std::process::id() == 1 => init::run(&args),
        Ok(Invocation::Serve(flags)) => match BridgeConfig::new(*flags, env) {
            Ok(config) => lifecycle::run(config),
            Err(problem) => refuse(&problem),
        },
        Err(problem) => refuse(&problem),
    }
}

/// Reports a wrong command line (`EX_USAGE`).
fn refuse(problem: &str) -> ExitCode {
    eprint_line(problem);
    ExitCode::from(64)
}
