//! Tests with real processes: a server with planned faults and its callers.
//!
//! The server is the example `process_stdio_fixture`, which `cargo test -p portolan-process` builds, but `--test it` alone
//! does not.

#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "bridge")]
mod bridge;
mod calls;
mod conformance;
mod end;
mod events;
mod faults;
mod host_exit;
mod load;
mod memory;
mod per_session;
mod runtime;
mod secrets;
mod server_requests;
mod start;
mod support;
mod test_runtime;
