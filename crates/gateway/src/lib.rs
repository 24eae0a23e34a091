#![cfg_attr(docsrs, feature(doc_cfg))]
//! The governed MCP endpoint: both protocol eras, in front of any MCP server.
//!
//! ```text
//! client ─► auth ─► era ─► session ─► policy+route ─► credential ─► endpoint ─► upstream, streamed back
//!           who?    which   sealed     which install?  as whom?      where?      which era? bridge if they differ
//! ```
//!
//! [`McpGateway`] is a tower service that serves `/mcp/<gateway>`. Clients speak 2026-07-28, 2025-11-25, 2025-06-18 or
//! 2025-03-26; servers behind it speak either era, over streamable HTTP or stdio. Where both sides can speak the same
//! era they do, and results pass as bytes; where they cannot, what differs is converted.
//!
//! # Limits
//!
//! Every bound is a documented field of [`GatewayLimits`] and [`Timeouts`].
//!
//! # Features
//!
//! None is on by default: `axum` (a router), `serve` (a listener), `process` (servers that are child processes).

mod alias;
mod auth;
mod body;
mod broker;
mod builder;
mod call;
mod call_future;
mod cancellation;
mod capabilities;
mod config;
mod exposure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod inject;
mod intake;
mod legacy;
mod list;
mod modern;
mod passthrough;
mod replay;
mod reply;
mod request_context;
#[cfg(feature = "axum")]
mod router;
mod routes;
mod seal;
#[cfg(feature = "serve")]
mod serve;
mod server_requests;
mod service;
mod session;
mod subscriptions;
mod tasks;
mod upstream;
mod uris;
mod write_yield;

#[cfg(feature = "serve")]
pub use self::serve::serve;
pub use self::{
    auth::{StaticTokens, digest},
    body::Body,
    broker::StoredCredentials,
    builder::{Builder, Upstream},
    config::{GatewayConfig, GatewayLimits, Hosts, Timeouts},
    seal::TokenKeys,
    service::{GatewayParts, McpGateway},
};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
