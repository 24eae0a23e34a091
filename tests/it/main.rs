//! The platform as a host uses it: real processes, real HTTP, one SQLite file.
//!
//! Stdio servers are the demo server of the example `quickstart`, which `cargo test -p portolan` builds, but `--test it`
//! alone does not.

#![cfg(all(feature = "local", feature = "axum"))]

mod builder;
mod catalogue;
mod exports;
mod follow;
mod gateway;
mod mounting;
mod shutdown;
mod signals;
mod status;
mod support;
mod tokens;
