//! Access to internals for fuzz targets and benchmarks: sealed tokens, sessions, event streams, responses of servers.

use std::{sync::Arc, time::Duration};

use portolan_client::ClientCapabilities;
use portolan_core::{
    Caller, Clock, GatewayName, Subject, UserId,
    memory::{ManualClock, MemorySessions},
};
use tokio_util::task::TaskTracker;

use crate::{
    GatewayConfig, TokenKeys,
    replay::{EventId, ReplayStore, StreamId},
    seal::Purpose,
    server_requests::{RequestState, ServerRequestId},
    sessions::Sessions,
};

/// Seals `payload` as the id of a server request.
pub fn seal_question(keys: &TokenKeys, payload: &[u8]) -> Option<String> {
    keys.seal(Purpose::ServerRequest, payload).ok()
}

/// Returns the payload of a server request's id, if it was sealed with these keys.
pub fn open_question(keys: &TokenKeys, token: &str) -> Option<Vec<u8>> {
    keys.open(Purpose::ServerRequest, token)
}

/// Seals `payload` as a request state.
pub fn seal_state(keys: &TokenKeys, payload: &[u8]) -> Option<String> {
    keys.seal(Purpose::State, payload).ok()
}

/// Returns the payload of a request state, if it was sealed with these keys.
pub fn open_state(keys: &TokenKeys, token: &str) -> Option<Vec<u8>> {
    keys.open(Purpose::State, token)
}

/// Decodes and encodes the payload of a server request's id; `None` if it is invalid.
pub fn question_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = ServerRequestId::decode(payload)?;
    let written = read.encode();
    assert_eq!(ServerRequestId::decode(&written), Some(read), "payloads round-trip");
    Some(written)
}

/// Decodes and encodes the payload of a request state; `None` if it is invalid.
pub fn state_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = RequestState::decode(payload)?;
    let written = read.encode();
    assert_eq!(RequestState::decode(&written), Some(read), "payloads round-trip");
    Some(written)
}

/// Decodes and encodes the payload of a resumable stream's id; `None` if it is invalid.
pub fn stream_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = StreamId::decode(payload)?;
    let written = read.encode();
    assert_eq!(StreamId::decode(&written), Some(read), "payloads round-trip");
    Some(written)
}

/// Returns whether a text is an event id sealed with these keys.
pub fn is_event_id(keys: &TokenKeys, text: &str) -> bool {
    EventId::open(keys, text).is_some()
}

/// Converts a server's event stream, read in chunks of `size` bytes: returns all events for the client, the number of
/// server requests, and whether the stream failed. The first byte selects the eras.
pub fn events(data: &[u8], size: usize) -> (Vec<u8>, usize, bool) {
    portolan_client::fuzzing::events(data, size)
}

/// Reads an HTTP response of these bytes, `step` at a time: returns the status, the body, and whether the body is
/// complete; `None` if it is not a response.
pub fn answer(words: &[u8], step: usize) -> Option<(u16, Vec<u8>, bool)> {
    let response = portolan_client::fuzzing::heard(words, step)?;
    assert!(
        response.is_whole || !response.is_kept,
        "a truncated response must close the connection"
    );
    Some((response.status, response.body, response.is_whole))
}

/// Runs the operations encoded in `moves` on sessions of legacy clients: opens, finds, presents to another caller,
/// ends and evicts them. Panics if a session serves another caller, outlives its end, or exceeds the limit in memory.
pub fn sessions(moves: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    if let Ok(runtime) = runtime {
        runtime.block_on(run(moves));
    }
}

/// The limit of sessions in memory, beyond those with a call in flight.
const LIMIT: usize = 4;

async fn run(moves: &[u8]) {
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let mut config = GatewayConfig::default();
    config.limits.sessions = LIMIT;
    let (Ok(keys), Ok(gateway)) = (TokenKeys::new(1, &[7; 32]), GatewayName::parse("g")) else {
        return;
    };
    let store = Arc::new(MemorySessions::new());
    let tasks = TaskTracker::new();
    let replay_store = Arc::new(ReplayStore::new(&config, tasks.clone()));
    let sessions = Sessions::new(&config, Arc::new(keys), store, clock.clone(), tasks, replay_store);
    let callers = ["alice", "bob"].map(|name| UserId::parse(name).map(|user| Caller::new(Subject::User(user), "fuzz")));
    let [Ok(alice), Ok(bob)] = callers else { return };
    let callers = [Arc::new(alice), Arc::new(bob)];
    // Each session: its id, its owner, its expiry, and whether it was ended.
    let mut known: Vec<(String, usize, i64, bool)> = Vec::new();
    for step in moves.chunks_exact(2).take(64) {
        let (what, which) = (step[0] % 5, usize::from(step[1]));
        let (who, now) = (which % 2, clock.now().as_second());
        let one = which / 2 % known.len().max(1);
        match what {
            0 => {
                let version = portolan_wire::era::ProtocolVersion::NEWEST_LEGACY;
                let Ok(id) = sessions.open(&gateway, &callers[who], version, ClientCapabilities::NONE, None, None)
                else {
                    return;
                };
                known.push((id, who, now + 24 * 3600, false));
            }
            1 => clock.advance(Duration::from_secs(u64::from(step[1]) * 600)),
            2 if !known.is_empty() => {
                let (id, owner, _, ended) = &mut known[one];
                if let Ok(Some(session)) = sessions.find(id, &gateway, &callers[*owner]).await {
                    *ended |= sessions.end(&session).await.is_ok();
                }
            }
            3 => sessions.forget_unused(),
            _ if !known.is_empty() => {
                let (id, owner, expires, ended) = &known[one];
                let found = sessions.find(id, &gateway, &callers[who]).await;
                let is_valid = *owner == who && !*ended && now < *expires;
                assert_eq!(
                    found.is_ok_and(|found| found.is_some()),
                    is_valid,
                    "only the owner finds a live session"
                );
            }
            _ => {}
        }
        assert!(sessions.count() <= LIMIT + 1, "the limit holds");
    }
}
