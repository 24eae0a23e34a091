//! The store on PostgreSQL, directly and behind poolers. `cargo xtask test --only storage` brings the servers.

mod audit;
mod conformance;
mod opening;
mod sealing;
mod support;
