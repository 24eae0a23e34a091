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
