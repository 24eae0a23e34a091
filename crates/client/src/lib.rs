//! An MCP client of either protocol era, over streamable HTTP and stdio.

mod backoff;
mod calls;
mod cancellation;
mod capabilities;
mod capability_filter;
mod catalog;
mod client;
pub mod collect;
mod config;
mod connect;
mod connection;
mod conversation;
mod conversion;
mod eras;
pub mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http1;
mod http_server;
mod inject;
pub mod notifications;
mod request;
mod server;
mod server_info;
mod session;
mod session_ref;
pub mod tasks;
mod transform;
pub mod write_yield;

pub use http::Uri;
pub use portolan_core::{BoxError, Error, Result};

pub use self::{
    calls::{
        steps::{
            Events, INPUT_REQUIRED, InputRequired, MAX_SERVER_REQUESTS, ResumeRequest, ServerRequest, ServerRequestKey,
            Step, StreamCheckpoint, TaskCreated, modern_params, request, response, retell,
        },
        streamable_http::json::JsonRelay,
    },
    cancellation::Cancellation,
    capabilities::ClientCapabilities,
    capability_filter::capability_filter,
    catalog::{CacheHints, ListSnapshot, Listing, Prompt, Prompts, ResourceTemplates, Resources, Tools},
    client::Client,
    config::{ClientConfig, ClientLimits, ClientTimeouts, DefinitionHook},
    connect::{Connect, Io, TcpConnect},
    conversation::{Conversation, SessionStreamReader, StreamOpening},
    conversion::request::client_capabilities,
    http_server::HttpServer,
    http1::{ConnectionError, body::ResponseBody, pool::ConnectionPool},
    request::{Reply, Requester, UpstreamRequest},
    server::UpstreamServer,
    server_info::ServerInfo,
    session::{OpenSession, UpstreamSession},
    session_ref::UpstreamSessionRef,
    transform::{TaskIdTransform, TaskRole, UriRewrite},
};
