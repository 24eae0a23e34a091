//! An MCP client of either protocol era, over streamable HTTP and stdio.

// The modules in layers: each uses those of the layers above it in this list, and of its own layer only what comes to no
// circle (`cargo xtask structure` checks that).

// Configuration, words of the protocol, and what depends on nothing here.
mod backoff;
mod cancellation;
mod capabilities;
mod capability_filter;
mod client_meta;
pub mod collect;
mod config;
mod eras;
pub mod failure;
mod inject;
mod server_info;
mod server_notifications;
mod server_requests;
mod session_ref;
pub mod tasks;
mod transform;
pub mod write_yield;

// Bytes: connections, HTTP/1.1, and the client that all servers share.
mod client;
mod connect;
mod http1;

// A server at a URL, and the sessions that it keeps for this client.
mod http_server;
mod session;

// A request, the conversation that it belongs to, and its translation between the eras.
mod conversation;
mod conversion;
mod request;

// A call over either transport and its reply, wherever the server is now.
mod calls;
mod connection;

// What is kept of a server between calls, and all of it together.
mod catalog;
pub mod notifications;
mod server;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

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
