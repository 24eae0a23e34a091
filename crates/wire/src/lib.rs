//! MCP messages as raw bytes, without I/O: envelopes, headers, event streams, eras, error codes.
//!
//! All of it works on [`bytes::Bytes`] and leaves unknown content as it is: a number keeps its digits, an unknown member
//! its text. Input is taken to be hostile: nothing panics on it, and nothing grows without a limit that the caller knows.
//!
//! - [`envelope`] parses and writes one JSON-RPC message.
//! - [`object`] edits the members of one JSON object.
//! - [`rewrite`] edits a response while it streams through.
//! - [`sse`] reads and writes event streams.
//! - [`header`] has the headers that mirror the body, [`meta`] the keys of `_meta`.
//! - [`level`] has the levels of log messages.
//! - [`era`] detects which protocol era the other side speaks, [`error`] has the error codes of either.

#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod version;

pub use bytes::Bytes;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
