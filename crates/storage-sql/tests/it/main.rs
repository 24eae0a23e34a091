//! The public face of the store, on files and in memory.

mod conformance;
mod feed;
#[path = "../shared/history.rs"]
mod history;
mod key_file;
mod persistence;
mod pool;
mod processes;
mod refusals;
mod secrecy;
mod support;
mod upgrade;
