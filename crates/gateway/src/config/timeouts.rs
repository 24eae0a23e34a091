//! The times of a gateway.

use std::time::Duration;

use super::setters;

/// How long a gateway waits, and how long it keeps things.
///
/// ```
/// use std::time::Duration;
/// use portolan_gateway::Timeouts;
///
/// let timeouts = Timeouts::default().with_call(Duration::from_secs(30));
/// assert_eq!((timeouts.call, timeouts.connect), (Duration::from_secs(30), Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// The time that `serve` gives calls in flight to finish once it is told to end. A second signal ends it sooner
    /// with `serve_until`. Default 10 s.
    pub drain: Duration,
}

impl Timeouts {
    setters! {
        with_body(body: Duration),
        with_call(call: Duration),
        with_call_total(call_total: Duration),
        with_task(task: Duration),
        with_connect(connect: Duration),
        with_handshake(handshake: Duration),
        with_wake(wake: Duration),
        with_list(list: Duration),
        with_list_age(list_age: Duration),
        with_server_request(server_request: Duration),
        with_gather(gather: Duration),
        with_state(state: Duration),
        with_keep_alive(keep_alive: Duration),
        with_replay(replay: Duration),
        with_retry(retry: Duration),
        with_stream_after(stream_after: Duration),
        with_session_idle(session_idle: Duration),
        with_session_total(session_total: Duration),
        with_listen_ready(listen_ready: Duration),
        with_listen_grace(listen_grace: Duration),
        with_recheck(recheck: Duration),
        with_drain(drain: Duration),
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
            drain: Duration::from_secs(10),
        }
    }
}
