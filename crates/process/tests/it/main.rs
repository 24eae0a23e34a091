//! Real processes: a server with planned faults, and what becomes of its callers.
//!
//! The server is the example `process_stdio_fixture`, which `cargo test -p portolan-process` builds, but `--test it` alone
//! does not.

#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "bridge")]
mod bridge;
mod calls;
mod conformance;
mod end;
mod faults;
mod load;
mod memory;
mod per_session;
mod questions;
mod runtime;
mod secrets;
mod start;
mod support;
mod test_runtime;
