//! MCP on the wire, without I/O: raw envelopes, headers, event streams, eras, error codes.
//!
//! Everything here works on [`bytes::Bytes`] and leaves alone what it does not have to touch:
//! a number keeps its digits, an unknown member its text. Input is taken to be hostile; nothing
//! panics on it, and nothing grows without a bound the caller knows.
//!
//! - [`envelope`] takes one JSON-RPC message apart and puts one together.
//! - [`object`] edits the members of one JSON object.
//! - [`rewrite`] edits a response while it flows by.
//! - [`sse`] reads and writes event streams.
//! - [`header`] knows the headers that mirror the body, [`meta`] the keys of `_meta`.
//! - [`level`] orders log messages.
//! - [`era`] tells which dialect the other side speaks, [`error`] how to refuse it.

pub mod envelope;
pub mod era;
pub mod error;
pub mod header;
pub mod id;
pub mod level;
pub mod meta;
pub mod method;
pub mod object;
pub mod rewrite;
mod scan;
pub mod sse;
mod tokenizer;

pub use bytes::Bytes;
