//! What a gateway can be told, each with its default.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_client::ClientConfig;
use portolan_core::AuditSink;
use portolan_wire::{
    era::ProtocolVersion,
    object::{self, RawObject},
};
use url::Url;

/// How a gateway behaves. Every field has a safe default; change what you need.
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
    /// What the gateway calls itself towards clients and servers. Default `portolan`.
    pub name: String,
    /// The protocol versions that clients may speak, newest first. Default: all four.
    pub versions: Vec<ProtocolVersion>,
    /// The `Host` names that are answered. Others get 403: they are how a web page reaches a server on the machine of
    /// its reader (DNS rebinding). Default: loopback names.
    pub hosts: Hosts,
    /// Origins of web pages that may call, such as `https://app.example.com`, beside those whose host is in `hosts`.
    /// Default: none. Requests without `Origin` come from no web page and pass.
    pub origins: Vec<String>,
    /// Limits of what is taken in and held.
    pub limits: GatewayLimits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Where other replicas of this gateway reach this one, up to the gateway's name: `http://10.0.0.7:8080/mcp`. An
    /// answer that a client gives to another replica is handed on to there, with the client's own credentials, so the
    /// way must be a trusted one. Default: none, and such an answer is lost.
    pub replica: Option<Url>,
    /// Whether a modern client that does not declare tasks gets the answer of a call all the same which its modern server
    /// does only as one: then the gateway asks for the task until it is over. Default false: such a client is told what it
    /// lacks (-32021), as by the server itself. Across the eras the gateway always asks.
    pub drive_tasks: bool,
    /// The path that the gateway answers below, so that gateway `default` is at `<path>/default`. For a host that mounts
    /// the gateway below a path, and so cuts that path off, see [`McpGateway::at_path`](crate::McpGateway::at_path).
    /// Default `/mcp`.
    pub path: String,
}

impl GatewayConfig {
    /// The `serverInfo` of the gateway, as JSON.
    pub(crate) fn server_info(&self) -> Bytes {
        let mut info = RawObject::new();
        info.set("name", object::quote(&self.name));
        info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
        info.to_bytes()
    }

    /// How the gateway's client behaves towards servers. Changed definitions go to `audit`.
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

/// Which `Host` names are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]`, with any port.
    #[default]
    Loopback,
    /// Loopback names and these, without ports.
    Only(Vec<String>),
    /// All; for a gateway behind something that checks them.
    Any,
}

/// Bounds. What goes over one is refused; nothing is queued without end.
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// Bytes of a request body. Default 4 MiB.
    pub request_bytes: usize,
    /// Bytes of one message from a server. Default 64 MiB. Results pass through without being held; this bounds what
    /// one call can move.
    pub message_bytes: usize,
    /// Bytes of a message that has to be held to be understood: errors, lists, answers from across the eras, results of
    /// which it is not seen in their first 16 KiB whether they answer or ask for input.
    /// Default 32 MiB.
    pub held_bytes: usize,
    /// How deep JSON may nest. Default 128.
    pub depth: u32,
    /// Messages in a batch (2025-03-26 only). Default 50.
    pub batch: usize,
    /// Calls under way at once, over all clients. Default 4,096.
    pub calls: usize,
    /// Sessions of legacy clients that are remembered. Past it, the longest unused are forgotten, and open their
    /// upstream sessions anew when they come back. Default 50,000.
    pub sessions: usize,
    /// Items on a page of a list: tools, prompts, resources, templates. Default 1,000.
    pub page: usize,
    /// Items that are taken from one server, of each list. Default 10,000.
    pub tools: usize,
    /// Bytes of the definition of one tool, prompt, resource or template. A larger one is left out. Default 256 KiB.
    pub definition_bytes: usize,
    /// How deep a definition may nest. A deeper one is left out. Default 64.
    pub schema_depth: usize,
    /// How often a call may ask its client before it fails. Default 10.
    pub rounds: usize,
    /// Calls of modern clients at legacy servers that are kept while their clients are asked something, over all clients.
    /// With 0, such servers are told that modern clients can be asked nothing. Default 1,024.
    pub suspended: usize,
    /// The same, of one caller. Default 32.
    pub suspended_per_caller: usize,
    /// Sessions that one modern caller has at one legacy server which may ask it something. There each call has a session
    /// to itself while it lasts, so that what is asked beside the calls' streams can only be about that one. Further calls
    /// share a session in which such questions are refused. Default 8.
    pub sessions_per_caller: usize,
    /// Streams of calls that are kept for legacy clients, so that one whose connection breaks can go on with its stream
    /// (`Last-Event-ID`). Past it, those that ended first are forgotten; where none has ended, a stream has no event ids.
    /// With 0, none has. Default 4,096.
    pub replays: usize,
    /// The same, of one session. Default 64.
    pub session_replays: usize,
    /// Bytes that are kept of one of them. A client that comes back for what came before these is told that it is lost.
    /// Default 1 MiB.
    pub replay_bytes: usize,
    /// The same, of all together: past it, those that ended first are forgotten, then less is kept of those that go on.
    /// Default 256 MiB.
    pub all_replay_bytes: usize,
    /// `subscriptions/listen` that one caller has open at once. Default 32.
    pub listens: usize,
    /// Streams outside of calls that are open at once, over all clients: listens of modern ones, GET streams of legacy
    /// ones. Default 10,000.
    pub streams: usize,
    /// GET streams of one session. Default 4; the newest gets the messages.
    pub session_streams: usize,
    /// Messages that wait for one slow reader of a stream. Past it, the stream is ended. Changes of lists wait as one.
    /// Default 256.
    pub stream_queue: usize,
    /// Resource URIs that one listen, or one session, may subscribe to. Default 1,000.
    pub subscriptions: usize,
}

/// Times.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Until a request's body is there. Default 30 s.
    pub body: Duration,
    /// Until a server answers a call, or says something about it: progress begins the wait anew. Default 2 min.
    pub call: Duration,
    /// Until a call is over, whatever it says. Default 1 h.
    pub call_total: Duration,
    /// Until a task is over that the gateway drives for a client which knows none, with all that the client is asked
    /// meanwhile. After that the task is cancelled and the call fails. Default 10 min.
    pub task: Duration,
    /// Until a connection to a server stands. Default 10 s.
    pub connect: Duration,
    /// Until a server has introduced itself. Default 30 s.
    pub handshake: Duration,
    /// How long a call is held for a server that sleeps or is on its way up. After that the call fails, and may be made
    /// again. Default 30 s.
    pub wake: Duration,
    /// Until a server has listed what it has. Slower ones are left out of that list, and then waited for only now and
    /// then until they answer. Default 15 s.
    pub list: Duration,
    /// How old a server's list may be before it is fetched anew, in the background. Default 60 s.
    pub list_age: Duration,
    /// How long a question of a server to a client may be open. After that the call is cancelled. Default 5 min.
    pub server_request: Duration,
    /// How long further questions are waited for before a modern client is asked, so that it is asked all at once.
    /// Default 10 ms.
    pub gather: Duration,
    /// How long a `requestState` is good. Default 1 h.
    pub state: Duration,
    /// A stream of events to a client on which nothing comes for so long is given a comment, so that nobody between takes
    /// it for dead. With zero, none ever is. Default 15 s.
    pub keep_alive: Duration,
    /// How long the stream of a call is kept after its end, for a legacy client that has not read it all. While the call goes
    /// on it is kept anyway. Default 5 min.
    pub replay: Duration,
    /// What legacy clients are asked to wait before they come back to a stream. Default 1 s.
    pub retry: Duration,
    /// A call of a 2025-11-25 client that is not answered after so long gets a stream, which the client can come back to.
    /// Default 100 ms.
    pub stream_after: Duration,
    /// How long an unused session of a legacy client is remembered. Default 30 min.
    pub session_idle: Duration,
    /// How long a session of a legacy client is good. Default 24 h.
    pub session_total: Duration,
    /// How long `subscriptions/listen` waits for the servers to listen before it is acknowledged. Default 600 ms.
    pub listen_ready: Duration,
    /// How long a server is listened to after nobody wants it any more. Default 30 s.
    pub listen_grace: Duration,
    /// How often it is made sure that the callers of open streams may still come in. Default 60 s.
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
