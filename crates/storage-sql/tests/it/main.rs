//! The public face of the store, on files and in memory.

mod conformance;
mod feed;
mod key_file;
mod persistence;
mod pool;
mod processes;
mod refusals;
mod secrecy;
mod support;
mod tool_sets;
