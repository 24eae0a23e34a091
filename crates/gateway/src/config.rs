//! The configuration of a gateway, with defaults.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_client::ClientConfig;
use portolan_core::AuditSink;
use portolan_wire::{
    era::ProtocolVersion,
    object::{self, RawObject},
};
use url::Url;

/// The configuration of a gateway. Every field has a safe default.
///
/// ```
/// use portolan_gateway::{GatewayConfig, Hosts};
///
/// let config = GatewayConfig {
///     hosts: Hosts::Only(vec!["mcp.example.com".into()]),
///     ..GatewayConfig::default()
/// };
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The name of the gateway towards clients and servers. Default `portolan`.
    pub name: String,
    /// The protocol versions that clients may use, newest first. Default: all four.
    pub versions: Vec<ProtocolVersion>,
    /// The accepted `Host` names. Others get 403: a web page could otherwise reach a server on its reader's machine
    /// (DNS rebinding). Default: loopback names.
    pub hosts: Hosts,
    /// Origins of web pages that may send requests, such as `https://app.example.com`, in addition to those whose host
    /// is in `hosts`. Default: none. Requests without `Origin` do not come from web pages, and are accepted.
    pub origins: Vec<String>,
    /// Limits of sizes and counts.
    pub limits: GatewayLimits,
    /// Timeouts and intervals.
    pub timeouts: Timeouts,
    /// The URL at which other replicas reach this one, without the gateway's name: `http://10.0.0.7:8080/mcp`. A
    /// client's response that arrives at another replica is forwarded to it with the client's credentials, so the
    /// network must be trusted. Default: none; such a response is lost.
    pub replica: Option<Url>,
    /// Whether the gateway polls a task for a modern client without tasks, if a modern server runs a call only as a
    /// task. Default `false`: the client gets the server's error (-32021). Across eras the gateway always polls.
    pub drive_tasks: bool,
    /// The path below which gateways are served, so that gateway `default` is at `<path>/default`. A host that strips
    /// a path prefix sets the empty path. Default `/mcp`.
    pub path: String,
}

impl GatewayConfig {
    /// Returns the `serverInfo` of the gateway, as JSON.
    pub(crate) fn server_info(&self) -> Bytes {
        let mut info = RawObject::new();
        info.set("name", object::quote(&self.name));
        info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
        info.to_bytes()
    }

    /// Returns the configuration of the upstream client. Changed definitions are reported to `audit`.
    pub(crate) fn client(&self, audit: Arc<dyn AuditSink>) -> ClientConfig {
        let (limits, timeouts) = (&self.limits, &self.timeouts);
        let mut client = ClientConfig::default().with_name(self.name.clone());
        client.limits.message_bytes = limits.message_bytes;
        client.limits.held_bytes = limits.held_bytes;
        client.limits.items = limits.tools;
        client.limits.definition_bytes = limits.definition_bytes;
        client.limits.schema_depth = limits.schema_depth;
        client.limits.sessions_per_caller = limits.sessions_per_caller;
        client.timeouts.call = timeouts.call;
        client.timeouts.call_total = timeouts.call_total;
        client.timeouts.connect = timeouts.connect;
        client.timeouts.handshake = timeouts.handshake;
        client.timeouts.wake = timeouts.wake;
        client.timeouts.list = timeouts.list;
        client.timeouts.list_age = timeouts.list_age;
        client.timeouts.server_request = timeouts.server_request;
        client.timeouts.state = timeouts.state;
        client.timeouts.stream_after = timeouts.stream_after;
        client.timeouts.listen_grace = timeouts.listen_grace;
        client.may_suspend = limits.suspended > 0;
        client.on_definition_change = Some(Arc::new(move |change| audit.definition_changed(change)));
        client
    }
}

/// The accepted `Host` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]`, with any port.
    #[default]
    Loopback,
    /// Loopback names and these, without ports.
    Only(Vec<String>),
    /// All names; for a gateway behind a proxy that checks them.
    Any,
}

/// Limits of sizes and counts. What exceeds a limit is rejected; every queue is bounded.
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// The size of a request body, in bytes. Default 4 MiB.
    pub request_bytes: usize,
    /// The size of one message from a server, in bytes. Results are streamed, so this limits what one call can
    /// transfer. Default 64 MiB.
    pub message_bytes: usize,
    /// The size of a message that must be buffered, in bytes: errors, lists, responses converted between eras, and
    /// results whose first 16 KiB do not show whether they ask for input. Default 32 MiB.
    pub held_bytes: usize,
    /// The nesting depth of JSON in requests. Default 128.
    pub depth: u32,
    /// The number of messages in a batch (2025-03-26 only). Default 50.
    pub batch: usize,
    /// The number of concurrent calls of all clients. Default 4,096.
    pub calls: usize,
    /// The number of sessions of legacy clients in memory. Beyond it, the least recently used are evicted, and open
    /// new upstream sessions when they come back. Default 50,000.
    pub sessions: usize,
    /// The number of items per page of a list: tools, prompts, resources, templates. Default 1,000.
    pub page: usize,
    /// The number of items in each list of one server. Default 10,000.
    pub tools: usize,
    /// The size of the definition of one tool, prompt, resource or template, in bytes. A larger one is omitted.
    /// Default 256 KiB.
    pub definition_bytes: usize,
    /// The nesting depth of a definition. A deeper one is omitted. Default 64.
    pub schema_depth: usize,
    /// The number of rounds of server requests in one call, after which it fails. Default 10.
    pub rounds: usize,
    /// The number of suspended calls of modern clients at legacy servers, of all clients. With 0, server requests are
    /// not declared to such servers. Default 1,024.
    pub suspended: usize,
    /// The number of suspended calls of one caller. Default 32.
    pub suspended_per_caller: usize,
    /// The number of sessions of one modern caller at one legacy server that may send requests. Each concurrent call
    /// has its own session there, so that requests outside of the calls' streams can be attributed. Further calls
    /// share a session in which such requests are refused. Default 8.
    pub sessions_per_caller: usize,
    /// The number of call streams kept for legacy clients, which resume them with `Last-Event-ID`. Beyond it, those
    /// that ended first are evicted; if none has ended, a new stream has no event ids. With 0, no stream has. Default
    /// 4,096.
    pub replays: usize,
    /// The number of kept call streams of one session. Default 64.
    pub session_replays: usize,
    /// The size of one kept stream, in bytes. A client that resumes before the kept part gets an error. Default 1 MiB.
    pub replay_bytes: usize,
    /// The size of all kept streams, in bytes. Beyond it, those that ended first are evicted, then running ones are
    /// trimmed. Default 256 MiB.
    pub all_replay_bytes: usize,
    /// The number of open `subscriptions/listen` streams of one caller. Default 32.
    pub listens: usize,
    /// The number of open notification streams of all clients: listens of modern clients, and GET streams of legacy
    /// sessions. Default 10,000.
    pub streams: usize,
    /// The number of GET streams of one session; the newest gets the messages. Default 4.
    pub session_streams: usize,
    /// The number of messages queued for a slow reader of a stream. Beyond it, the stream is closed. List changes
    /// count once. Default 256.
    pub stream_queue: usize,
    /// The number of resource URIs that one listen or one session may subscribe to. Default 1,000.
    pub subscriptions: usize,
}

/// Timeouts and intervals.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// The time to receive a request's body. Default 30 s.
    pub body: Duration,
    /// The time until a server responds to a call or reports progress, which restarts the time. Default 2 min.
    pub call: Duration,
    /// The total time of a call, with or without progress. Default 1 h.
    pub call_total: Duration,
    /// The total time of a task that the gateway polls for a client without tasks, including the client's responses.
    /// After it the task is cancelled and the call fails. Default 10 min.
    pub task: Duration,
    /// The time to connect to a server. Default 10 s.
    pub connect: Duration,
    /// The time for the handshake with a server. Default 30 s.
    pub handshake: Duration,
    /// The time that a call waits for a server to start. After it the call fails, and may be retried. Default 30 s.
    pub wake: Duration,
    /// The time for a server to return a list. A slower server is omitted from the list, and then retried only
    /// occasionally until it responds. Default 15 s.
    pub list: Duration,
    /// The age at which a server's list is fetched again, in the background. Default 60 s.
    pub list_age: Duration,
    /// The time for a client to respond to a server request. After it the call is cancelled. Default 5 min.
    pub server_request: Duration,
    /// The time to collect further server requests before a modern client gets them, all at once. Default 10 ms.
    pub gather: Duration,
    /// The lifetime of a `requestState`. Default 1 h.
    pub state: Duration,
    /// The interval of comments on idle event streams to clients, so that proxies do not close them. Zero disables
    /// them. Default 15 s.
    pub keep_alive: Duration,
    /// The time for which the stream of a call is kept after its end, for legacy clients that have not read all of it.
    /// Running streams are always kept. Default 5 min.
    pub replay: Duration,
    /// The delay after which legacy clients should reconnect to a stream. Default 1 s.
    pub retry: Duration,
    /// The time after which a call of a 2025-11-25 client without a response gets a stream, which the client can
    /// resume. Default 100 ms.
    pub stream_after: Duration,
    /// The time for which an idle session of a legacy client stays in memory. Default 30 min.
    pub session_idle: Duration,
    /// The lifetime of a session of a legacy client. Default 24 h.
    pub session_total: Duration,
    /// The time for which `subscriptions/listen` waits for servers before it is acknowledged. Default 600 ms.
    pub listen_ready: Duration,
    /// The time for which the notifications of a server are received after its last subscriber. Default 30 s.
    pub listen_grace: Duration,
    /// The interval at which the callers of open streams are authenticated again. Default 60 s.
    pub recheck: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        let mut versions = ProtocolVersion::ALL.to_vec();
        versions.sort_by_key(|version| std::cmp::Reverse(version.as_str()));
        Self {
            name: "portolan".into(),
            versions,
            hosts: Hosts::default(),
            origins: Vec::new(),
            limits: GatewayLimits::default(),
            timeouts: Timeouts::default(),
            replica: None,
            drive_tasks: false,
            path: "/mcp".into(),
        }
    }
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            request_bytes: 4 << 20,
            message_bytes: 64 << 20,
            held_bytes: 32 << 20,
            depth: 128,
            batch: 50,
            calls: 4096,
            sessions: 50_000,
            page: 1000,
            tools: 10_000,
            definition_bytes: 256 << 10,
            schema_depth: 64,
            rounds: 10,
            suspended: 1024,
            suspended_per_caller: 32,
            sessions_per_caller: 8,
            replays: 4096,
            session_replays: 64,
            replay_bytes: 1 << 20,
            all_replay_bytes: 256 << 20,
            listens: 32,
            streams: 10_000,
            session_streams: 4,
            stream_queue: 256,
            subscriptions: 1000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            body: Duration::from_secs(30),
            call: Duration::from_secs(120),
            call_total: Duration::from_secs(3600),
            task: Duration::from_secs(600),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(30),
            wake: Duration::from_secs(30),
            list: Duration::from_secs(15),
            list_age: Duration::from_secs(60),
            server_request: Duration::from_secs(300),
            gather: Duration::from_millis(10),
            state: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(15),
            replay: Duration::from_secs(300),
            retry: Duration::from_secs(1),
            stream_after: Duration::from_millis(100),
            session_idle: Duration::from_secs(30 * 60),
            session_total: Duration::from_secs(24 * 3600),
            listen_ready: Duration::from_millis(600),
            listen_grace: Duration::from_secs(30),
            recheck: Duration::from_secs(60),
        }
    }
}
