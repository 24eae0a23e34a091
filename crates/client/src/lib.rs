//! An MCP client of either protocol era, over streamable HTTP and stdio.

mod call;
mod call_timeout;
mod cancel_on_drop;
mod cancellation;
mod capabilities;
mod capability_filter;
mod catalog;
mod client;
pub mod collect;
mod config;
mod connect;
mod conversation;
mod conversion;
mod eras;
pub mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http1;
mod in_flight;
mod inject;
mod internal_request;
pub mod notifications;
mod server;
mod server_info;
mod session;
mod session_ref;
mod stdio;
mod steps;
mod streamable_http;
pub mod tasks;
mod transform;
mod wake;
pub mod write_yield;

pub use http::Uri;
pub use portolan_core::{BoxError, Error, Result};

pub use self::{
    call::{Reply, Requester, UpstreamRequest},
    cancellation::Cancellation,
    capabilities::ClientCapabilities,
    capability_filter::capability_filter,
    catalog::{CacheHints, ListSnapshot, Listing, Prompt, Prompts, ResourceTemplates, Resources, Tools},
    client::Client,
    config::{ClientConfig, ClientLimits, ClientTimeouts, DefinitionHook},
    connect::{Connect, Io, TcpConnect},
    conversation::{Conversation, SessionStreamReader, StreamOpening},
    conversion::request::client_capabilities,
    http1::{ConnectionError, body::ResponseBody, pool::ConnectionPool},
    server::UpstreamServer,
    server_info::ServerInfo,
    session::{OpenSession, UpstreamSession},
    session_ref::UpstreamSessionRef,
    steps::{
        Events, INPUT_REQUIRED, InputRequired, MAX_SERVER_REQUESTS, ResumeRequest, ServerRequest, ServerRequestKey,
        Step, StreamCheckpoint, TaskCreated, modern_params, request, response, retell,
    },
    streamable_http::{HttpServer, json::JsonRelay},
    transform::{TaskIdTransform, TaskRole, UriRewrite},
};
