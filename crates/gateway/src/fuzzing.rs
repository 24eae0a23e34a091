//! What fuzz targets and benchmarks see of the inside: sealed tokens, sessions, streams of events, answers of servers.

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

/// Seals the id of a question with `payload`.
pub fn seal_question(keys: &TokenKeys, payload: &[u8]) -> Option<String> {
    keys.seal(Purpose::ServerRequest, payload).ok()
}

/// Opens the id of a question: its payload, if it was sealed with these keys.
pub fn open_question(keys: &TokenKeys, token: &str) -> Option<Vec<u8>> {
    keys.open(Purpose::ServerRequest, token)
}

/// Seals a request state with `payload`.
pub fn seal_state(keys: &TokenKeys, payload: &[u8]) -> Option<String> {
    keys.seal(Purpose::State, payload).ok()
}

/// Opens a request state: its payload, if it was sealed with these keys.
pub fn open_state(keys: &TokenKeys, token: &str) -> Option<Vec<u8>> {
    keys.open(Purpose::State, token)
}

/// Reads and writes the payload of a question's id: the same bytes mean the same. `None` if it is none.
pub fn question_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = ServerRequestId::decode(payload)?;
    let written = read.encode();
    assert_eq!(ServerRequestId::decode(&written), Some(read), "what is written is read");
    Some(written)
}

/// The same for a request state.
pub fn state_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = RequestState::decode(payload)?;
    let written = read.encode();
    assert_eq!(RequestState::decode(&written), Some(read), "what is written is read");
    Some(written)
}

/// The same for a stream that can be taken up again.
pub fn stream_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = StreamId::decode(payload)?;
    let written = read.encode();
    assert_eq!(StreamId::decode(&written), Some(read), "what is written is read");
    Some(written)
}

/// Whether a text is the id of an event that was made with these keys.
pub fn is_event_id(keys: &TokenKeys, text: &str) -> bool {
    EventId::open(keys, text).is_some()
}

/// What comes of a server's event stream for a client, in pieces of `size` bytes: all that it is sent, how much is asked, and
/// whether the stream broke off. The first byte says which eras speak.
pub fn events(data: &[u8], size: usize) -> (Vec<u8>, usize, bool) {
    portolan_client::fuzzing::events(data, size)
}

/// What is heard of a server that answers an HTTP request with these bytes, `step` at a time: the status, the body, and
/// whether it came to its end. `None` if it is no answer.
pub fn answer(words: &[u8], step: usize) -> Option<(u16, Vec<u8>, bool)> {
    let heard = portolan_client::fuzzing::heard(words, step)?;
    assert!(heard.is_whole || !heard.is_kept, "half an answer leaves no connection");
    Some((heard.status, heard.body, heard.is_whole))
}

/// Plays what the bytes say with the sessions of legacy clients: opened, found, presented by others, ended, forgotten, in any
/// order. Panics where a session serves somebody else, outlives its end, or is remembered past the bound.
pub fn sessions(moves: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    if let Ok(runtime) = runtime {
        runtime.block_on(play(moves));
    }
}

/// How many sessions the game remembers at most, beyond those with a call under way.
const MOST: usize = 4;

async fn play(moves: &[u8]) {
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let mut config = GatewayConfig::default();
    config.limits.sessions = MOST;
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
    // The id of each session, whose it is, when it is over at the latest, and whether it was ended.
    let mut known: Vec<(String, usize, i64, bool)> = Vec::new();
    for step in moves.chunks_exact(2).take(64) {
        let (what, which) = (step[0] % 5, usize::from(step[1]));
        let (who, now) = (which % 2, clock.now().as_second());
        let one = which / 2 % known.len().max(1);
        match what {
            0 => {
                let version = portolan_wire::era::ProtocolVersion::NEWEST_LEGACY;
                let Ok(id) = sessions.open(&gateway, &callers[who], version, ClientCapabilities::NONE, None) else {
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
                let (id, owner, ends, ended) = &known[one];
                let found = sessions.find(id, &gateway, &callers[who]).await;
                let good = *owner == who && !*ended && now < *ends;
                assert_eq!(
                    found.is_ok_and(|found| found.is_some()),
                    good,
                    "a session and who presents it"
                );
            }
            _ => {}
        }
        assert!(sessions.count() <= MOST + 1, "no more are remembered");
    }
}
