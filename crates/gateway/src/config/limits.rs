//! The bounds of a gateway.

use super::setters;

/// Bounds. What goes over one is refused; nothing is queued without end.
///
/// ```
/// use portolan_gateway::GatewayLimits;
///
/// let limits = GatewayLimits::default().with_calls(256).with_request_bytes(1 << 20);
/// assert_eq!((limits.calls, limits.request_bytes, limits.batch), (256, 1 << 20, 50));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl GatewayLimits {
    setters! {
        with_request_bytes(request_bytes: usize),
        with_message_bytes(message_bytes: usize),
        with_held_bytes(held_bytes: usize),
        with_depth(depth: u32),
        with_batch(batch: usize),
        with_calls(calls: usize),
        with_sessions(sessions: usize),
        with_page(page: usize),
        with_tools(tools: usize),
        with_definition_bytes(definition_bytes: usize),
        with_schema_depth(schema_depth: usize),
        with_rounds(rounds: usize),
        with_suspended(suspended: usize),
        with_suspended_per_caller(suspended_per_caller: usize),
        with_sessions_per_caller(sessions_per_caller: usize),
        with_replays(replays: usize),
        with_session_replays(session_replays: usize),
        with_replay_bytes(replay_bytes: usize),
        with_all_replay_bytes(all_replay_bytes: usize),
        with_listens(listens: usize),
        with_streams(streams: usize),
        with_session_streams(session_streams: usize),
        with_stream_queue(stream_queue: usize),
        with_subscriptions(subscriptions: usize),
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
