//! A stdio server as streamable HTTP, for many callers: the program `portolan-bridge`.
//!
//! It runs beside the server in one container, as its parent, and speaks the era that the server speaks:
//!
//! - A modern server is relayed as it is, request by request: no sessions.
//! - A legacy one is shaken hands with once. Clients open sessions with the bridge, which answers `initialize` with what
//!   the server said; what the server asks in the middle of a call goes to the session whose call it is, as a request on
//!   the stream of that call.
//!
//! Messages pass as raw JSON. `GET /healthz` says whether the server can be called, and if not, why.
//!
//! A request that got no answer of the server is told by its status: 503 if it was not sent to the server, 502 if it was,
//! 504 if the time was over. The body is a JSON-RPC error whose `data` has the failure. Where the answer is a stream that
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

/// The variable that holds the token which callers have to show.
const TOKEN: &str = "PORTOLAN_BRIDGE_TOKEN";

/// Runs the program with these arguments, without its own name, and this environment.
pub fn main(args: impl IntoIterator<Item = OsString>, env: impl IntoIterator<Item = (OsString, OsString)>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match args::parse(args.clone()) {
        Ok(Invocation::Help) => {
            eprint_line(args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Copy(to)) => self_install::copy_self(&to),
        // The first process of a container has duties that would get in the way of ours.
        Ok(Invocation::Serve(_)) if std::process::id() == 1 => init::run(&args),
        Ok(Invocation::Serve(flags)) => match BridgeConfig::new(*flags, env) {
            Ok(config) => lifecycle::run(config),
            Err(problem) => refuse(&problem),
        },
        Err(problem) => refuse(&problem),
    }
}

/// Ends as programs do that were called wrongly.
fn refuse(problem: &str) -> ExitCode {
    eprint_line(problem);
    ExitCode::from(64)
}
