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
