//! An MCP client of either protocol era, over streamable HTTP and stdio.

mod backoff;
mod calls;
mod cancellation;
mod capabilities;
mod capability_filter;
mod catalog;
mod client;
mod client_meta;
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
mod server_notification;
mod server_requests;
mod session;
mod session_ref;
pub mod tasks;
mod transform;
pub mod write_yield;

pub use http::Uri;
pub use portolan_core::{BoxError, Error, Result};

pub use self::{
    calls::{
        events::Events,
        reply::Reply,
        steps::{ResumeRequest, Step, StreamCheckpoint},
        streamable_http::json::JsonRelay,
    },
    cancellation::Cancellation,
    capabilities::ClientCapabilities,
    capability_filter::capability_filter,
    catalog::{CacheHints, ListSnapshot, Listing, Prompt, Prompts, ResourceTemplates, Resources, Tools},
    client::Client,
    config::{ClientConfig, ClientLimits, ClientTimeouts, DefinitionHook},
    connect::{Connect, Io, TcpConnect},
    conversation::Conversation,
    conversion::{request::client_capabilities, retell::retell, tasks::TaskCreated},
    http_server::{HttpServer, open_session::OpenSession},
    http1::{ConnectionError, body::ResponseBody, pool::ConnectionPool},
    request::{Requester, UpstreamRequest},
    server::UpstreamServer,
    server_info::ServerInfo,
    server_requests::{
        INPUT_REQUIRED, InputRequired, MAX_SERVER_REQUESTS, ServerRequest, ServerRequestKey, modern_params, request,
        response,
    },
    session::{
        UpstreamSession,
        stream_reader::{SessionStreamReader, StreamOpening},
    },
    session_ref::UpstreamSessionRef,
    transform::{TaskIdTransform, TaskRole, UriRewrite},
};
