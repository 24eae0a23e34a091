#![cfg_attr(docsrs, feature(doc_cfg))]
//! An MCP gateway: serves clients of both protocol eras, in front of any MCP server.
//!
//! ```text
//! client ─► auth ─► era ─► session ─► policy+route ─► credential ─► endpoint ─► upstream, streamed back
//!           who?    which   sealed     which install?  as whom?      where?      which era? bridge if they differ
//! ```
//!
//! [`McpGateway`] is a tower service that serves `/mcp/<gateway>`. Clients speak 2026-07-28, 2025-11-25, 2025-06-18 or
//! 2025-03-26; servers speak either era, over streamable HTTP or stdio. If client and server speak the same era,
//! results are relayed as bytes; otherwise the gateway converts what differs.
//!
//! # Limits
//!
//! Every limit is a documented field of [`GatewayLimits`] or [`Timeouts`].
//!
//! # Features
//!
//! None is enabled by default: `axum` (a router), `serve` (a listener), `process` (servers as child processes).

mod body;
mod broker;
mod builder;
mod codec;
mod config;
mod cursor;
mod edge;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod housekeeping;
mod lists;
mod protocol;
mod relay;
mod relay_request;
mod replay;
mod replicas;
mod reply;
#[cfg(feature = "axum")]
mod router;
mod routing;
mod seal;
#[cfg(feature = "serve")]
mod serve;
mod server_requests;
mod sessions;
mod subscriptions;
mod task_ids;
mod tasks;

#[cfg(feature = "serve")]
pub use self::serve::serve;
pub use self::{
    body::Body,
    broker::StoredCredentials,
    builder::{Builder, Upstream},
    config::{GatewayConfig, GatewayLimits, Hosts, Timeouts},
    edge::{StaticTokens, digest},
    gateway::{GatewayParts, McpGateway},
    seal::TokenKeys,
};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
