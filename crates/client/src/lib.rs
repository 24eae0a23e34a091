//! An MCP client of either protocol era, over streamable HTTP and stdio.
//!
//! It is for programs that talk to servers which somebody else chose: a "test connection" button, a checker, a catalogue, a
//! relay. A server may speak the legacy era (2025-03-26 to 2025-11-25, with sessions) or the modern one (2026-07-28,
//! stateless), over streamable HTTP or behind pipes; the program need not know which.
//!
//! ```
//! use std::sync::Arc;
//!
//! use portolan_client::{Client, ClientConfig, RequestError, Tools, UpstreamCredential, UpstreamServer};
//! # use portolan_fixtures::everything::{Eras, Everything, Options};
//! use serde_json::json;
//!
//! async fn greet(url: &str) -> Result<(), RequestError> {
//!     let client = Client::new(ClientConfig::default().with_name("example"));
//!     let server = UpstreamServer::at_url(&client, url)?;
//!     let credential = Arc::new(UpstreamCredential::none());
//!
//!     // Finds out the era, and opens a session if the server wants one.
//!     let info = server.connect(&credential).await?;
//!     println!("{:?}, protocol {} ({:?})", info.name, info.protocol_version, info.era());
//!
//!     let tools = server.list::<Tools>(&credential).await?;
//!     for tool in tools.items.iter() {
//!         println!("  {}", tool.name());
//!     }
//!     assert!(tools.items.get("greet").is_some());
//!
//!     let result = server.call_tool("greet", json!({ "name": "Ada" }), &credential).await?;
//!     assert!(!result.is_error() && result.text().contains("Ada"));
//!
//!     // A JSON-RPC error of the server is told from a server that cannot be reached.
//!     match server.call_tool("no such tool", json!({}), &credential).await {
//!         Err(RequestError::Rejected { error, .. }) => println!("rejected: {error}"),
//!         other => panic!("{other:?}"),
//!     }
//!     client.closed().await;
//!     Ok(())
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     for eras in [Eras::Legacy, Eras::Modern] {
//! #       let fixture = Everything::start(Options { eras, ..Options::default() }).await?;
//! #       let url_of_a_server = |_| fixture.url();
//!         greet(&url_of_a_server(eras)).await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The examples `test_connection`, `call_tool` and `watch_tools` are whole programs.
//!
//! # Parts
//!
//! - [`Client`] holds what all servers of a program share: [configuration](ClientConfig), [connector](Connect), background
//!   work. It needs a tokio runtime with time and I/O.
//! - [`UpstreamServer`] is one server: at a URL ([`at_url`](UpstreamServer::at_url), [`remote`](UpstreamServer::remote)),
//!   behind a channel ([`at_endpoint`](UpstreamServer::at_endpoint)), or where a runtime runs it
//!   ([`running`](UpstreamServer::running)). Keep it: it knows the server's era, sessions, connections and lists.
//! - [`connect`](UpstreamServer::connect), [`list`](UpstreamServer::list), [`call_tool`](UpstreamServer::call_tool) and
//!   [`request`](UpstreamServer::request) are for the program's own requests.
//! - [`UpstreamServer::call`] is for relays: it takes a client's request with its id, era and capabilities
//!   ([`UpstreamRequest`]), and yields the response in the client's era, as it arrives ([`Reply`]).
//!
//! # Eras
//!
//! The era is detected with `server/discover` on the first request (2026-07-28, basic/versioning), unless the
//! [entry](portolan_core::ServerSpec::era) or the endpoint pins it. "Legacy only" is believed for 10 minutes, and forgotten
//! as soon as a response contradicts it: servers are upgraded while clients run. A relay's request goes to the server in
//! the relay's client's own era where the server speaks it, because then nothing has to be converted.
//!
//! # Sessions and streams
//!
//! A session of a legacy server is opened by the first request that needs one. If the server answers 404, because it was
//! restarted or has forgotten the session, a new one is opened and the request is sent again, once: the server has not
//! processed it. No other request is ever sent twice. Requests with different credentials share no session. An event
//! stream that ends before its response is resumed with `Last-Event-ID` if the server numbers its events.
//!
//! # Notifications
//!
//! [`UpstreamServer::notifications`] is the feed of a server. The client follows the server only while somebody
//! [listens](notifications::NotificationFeed::listen), and for [a grace time](ClientTimeouts::listen_grace) after that: by
//! a GET stream in a session of its own (legacy), by `subscriptions/listen` (modern), or through the channel. A stream that
//! ends is opened again, with backoff; if notifications may have been missed, the cached lists are fetched again, and
//! changes are announced as if the server had.
//!
//! # Lists
//!
//! Tools, prompts, resources and templates are fetched once and cached, per server and credential scope
//! ([`UpstreamCredential::scope`]): callers whose credentials may see different lists never see each other's. The first to
//! ask waits; later ones get the cached list, which is fetched again in the background when it is
//! [older than a minute](ClientTimeouts::list_age). After a list-changed notification the next one to ask waits for the new
//! list. A server that hung is not waited for again for 2 to 60 s. Up to 256 scopes are kept per server.
//!
//! # Limits
//!
//! Everything that a server can make grow is bounded by [`ClientLimits`], every wait by [`ClientTimeouts`]. A message over a
//! limit is an error; a definition over a limit is left out of its list, and logged. Redirects are not followed. No error,
//! event or `Debug` text contains a credential.
//!
//! # The connector
//!
//! [`TcpConnect`] connects by TCP, with rustls and the machine's certificates for `https`. A host that needs roots of a
//! private certificate authority or a client certificate gives it a configuration ([`TcpConnect::with_tls`]); a host with a
//! proxy, or a network that is not TCP, implements [`Connect`].
//!
//! # Events
//!
//! Events go to `tracing` with targets that begin with `portolan_client`. They contain no secret and no content of a call.
//!
//! | level | message | fields | when |
//! | --- | --- | --- | --- |
//! | warn | `tool left out`, `prompt left out`, `resource left out`, `item left out` | `server`, `problem` or `error` | a definition is not valid, or over a limit |
//! | warn | `prompt listed twice` | `server`, `name` | the first of the two is used |
//! | warn | `list truncated`, `templates truncated` | `server`, `list`, `most` | a list is over [`ClientLimits::items`], or there are too many templates to match |
//! | warn | `list refresh failed` | `server`, `list`, `error` | the cached list stays in use |
//! | warn | `response broke off` | `error` | the connection ended in the middle of a response that was already being relayed |
//! | warn | `event too large` | | an event of a GET stream is over [`ClientLimits::held_bytes`]; the stream is opened again |
//! | info | `server cannot be followed` | `error` | notifications cannot be received now; the client tries again |
//! | debug | `notification not sent`, `log level not set` | `server`, `error` | the server did not accept a message that needs no response |
//! | debug | `GET stream not opened` | `error` | the client tries again |
//!
//! # Features
//!
//! - `fuzzing`: entry points for fuzz targets, which may change at any time. Default: off.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The modules in layers: each uses those of the layers above it in this list, and of its own layer only what comes to no
// circle (`cargo xtask structure` checks that).

// Configuration, words of the protocol, and what depends on nothing here.
mod cancellation;
mod capabilities;
mod capability_filter;
mod client_meta;
pub mod collect;
mod config;
mod credential_headers;
mod era_cache;
pub mod failure;
mod reachability;
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

// Whole requests of a program, on top of a server.
mod direct;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

pub use http::Uri;
pub use portolan_core::{BoxError, Error, Result, UpstreamCredential};
pub use portolan_wire::{
    era::{Era, ProtocolVersion},
    method::Method,
};

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
    catalog::{
        CacheHints, ListSnapshot, Listing, Prompt, Prompts, ResourceTemplates, Resources, ToolSeeds, Tools,
        definition::legacy_tool_definition,
    },
    client::Client,
    config::{ClientConfig, ClientLimits, ClientTimeouts, DefinitionHook},
    connect::{Connect, Io, TcpConnect},
    conversation::Conversation,
    conversion::{request::client_capabilities, retell::retell, tasks::TaskCreated},
    direct::{RequestError, ToolResult},
    http_server::{HttpServer, open_session::OpenSession},
    http1::{ConnectionError, body::ResponseBody, pool::ConnectionPool},
    reachability::{ReachabilityChange, ReachabilityHook},
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
