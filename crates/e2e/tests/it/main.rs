//! Every real client against every real server, directly and through the gateway.
//!
//! `cargo xtask test --only e2e` installs the servers and clients, builds the gateway and runs these tests.

mod asks;
mod cancel;
mod client;
mod compare;
mod crossing;
mod differential;
mod features;
mod gateway;
mod host;
mod matrix;
mod merge;
mod parting;
mod parts;
mod prefix;
mod progress;
mod recorder;
mod rmcp_server;
mod rust_client;
mod secure;
mod server;
mod tasks;
