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
//! # Events
//!
//! These events go to `tracing` with the target `portolan_gateway`. Messages, levels and fields are part of the interface. No
//! event contains a secret, an argument or a result. Calls, denials and failed logins are no events but audit records:
//! [`TraceAudit`](portolan_core::TraceAudit) writes them with the target `portolan::audit`.
//!
//! | level | message | fields | when |
//! | --- | --- | --- | --- |
//! | warn | `server unreachable` | `server`, `kind`, `reason` | a request to a server failed that could be reached before; `kind` is the [`FailureKind`](portolan_core::FailureKind) |
//! | info | `server reachable` | `server` | the first request succeeded after that |
//! | warn | `credential refused` | `gateway`, `server`, `install`, `caller`, `request_id` | a server refused the credential of a call, and there is none to replace it |
//! | debug | `session opened` | `gateway`, `session`, `version`, `client` | a legacy client initialized; `session` is a name for logs, not the session id, and `client` is `clientInfo.name` |
//! | debug | `session ended` | `session`, `reason` | `reason` is `deleted` by its client, `ended elsewhere` on another replica, or `forgotten`: unused, over, or one too many |
//!
//! Modules write further messages, with their paths as targets, for people; these may change.
//!
//! # Features
//!
//! None is enabled by default: `axum` (a router), `serve` (a listener), `process` (servers as child processes).

mod body;
mod builder;
#[cfg(feature = "process")]
mod children;
mod client_software;
mod codec;
mod config;
mod cursor;
mod edge;
mod events;
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
mod request_label;
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

pub use portolan_core::{StaticTokens, StoredCredentials, digest};

#[cfg(feature = "serve")]
pub use self::serve::{serve, serve_until};
pub use self::{
    body::Body,
    builder::{Builder, Upstream},
    config::{GatewayConfig, GatewayLimits, Hosts, Timeouts},
    gateway::{GatewayParts, McpGateway},
    seal::TokenKeys,
};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
