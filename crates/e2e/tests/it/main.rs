//! Every real client against every real server, directly and through the gateway.
//!
//! `cargo xtask test --only e2e` installs the servers and clients, builds the gateway and runs these tests.

mod cancellation;
mod client;
mod compare;
mod concurrent_clients;
mod differential;
mod disconnect;
mod features;
mod gateway;
mod host;
mod matrix;
mod merge;
mod oauth_provider;
mod out_of_band_requests;
mod parts;
mod prefix;
mod progress;
mod recorder;
mod rmcp_server;
mod rust_client;
mod server;
mod tasks;
mod tls;
