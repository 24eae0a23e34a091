//! Tapes on a shelf: what is kept of them, and for whom.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use portolan_core::BoxError;
use portolan_wire::{id::RequestId, sse};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;

use super::{
    body::ReplayBody,
    buffer::Seek,
    event_id::{EventIdPrefix, RequestRef, StreamId, StreamKind},
    store::ReplayStore,
    stream::ReplayStream,
};
use crate::{GatewayConfig, TokenKeys, body::Body, config::GatewayLimits, server_requests::ReplicaLocation};

type Pieces = UnboundedSender<Result<Bytes, BoxError>>;

fn store(change: impl FnOnce(&mut GatewayLimits)) -> Arc<ReplayStore> {
    let mut config = GatewayConfig::default();
    change(&mut config.limits);
    Arc::new(ReplayStore::new(&config, TaskTracker::new()))
}

fn prefix() -> EventIdPrefix {
    let place = ReplicaLocation {
        replica: [0; 8],
        url: None,
        handle: [0; 16],
    };
    let stream = StreamId {
        session: [0; 16],
        place,
        of: StreamKind::Session,
    };
    stream.seal(&TokenKeys::random().expect("keys")).expect("short enough")
}

/// A tape of this session, and who says what comes on it.
fn stream(store: &Arc<ReplayStore>, session: u8, number: u8) -> Option<(Arc<ReplayStream>, Pieces)> {
    let (pieces, mut said) = unbounded_channel();
    let frames = futures_util::stream::poll_fn(move |cx| {
        let piece: std::task::Poll<Option<Result<Bytes, BoxError>>> = said.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    });
    let key = ([session; 16], [number; 16]);
    let request_ref = RequestRef {
        id: RequestId::from_u64(number.into()),
        is_tool: true,
    };
    let source = Body::relayed(StreamBody::new(frames));
    let put = store.put(key, || {
        Arc::new(ReplayStream::new(key, request_ref, prefix(), true, store, source))
    });
    put.map(|stream| (stream, pieces))
}

fn say(pieces: &Pieces, size: usize) {
    pieces.send(Ok(sse::event(&vec![b'x'; size]))).expect("a tape");
}

/// A client that has the tape from its beginning.
fn client(stream: &Arc<ReplayStream>) -> Body {
    Body::relayed(ReplayBody::new(stream.clone(), 0, None))
}

/// Reads an event: its id, and its text.
async fn event(body: &mut Body) -> (Bytes, Bytes) {
    let mut frame = async || {
        let frame = body.frame().await.expect("no end").expect("no break");
        frame.into_data().expect("data")
    };
    (frame().await, frame().await)
}

#[tokio::test]
async fn all_tapes_together_are_bounded() {
    let store = store(|limits| limits.all_replay_bytes = 10_000);
    // Those that are over make room.
    for number in 0..20 {
        let (stream, pieces) = stream(&store, 1, number).expect("room");
        let mut body = client(&stream);
        say(&pieces, 1500);
        event(&mut body).await;
        drop(pieces);
        assert!(body.frame().await.is_none());
        drop((stream, body));
        assert!(store.size() <= 10_000, "{}", store.size());
    }
    assert!((4..=6).contains(&store.len()), "{}", store.len());
    // Then less is kept of those that go on.
    let mut running = Vec::new();
    for number in 20..26 {
        let (stream, pieces) = stream(&store, 2, number).expect("room");
        let mut body = client(&stream);
        for _ in 0..5 {
            say(&pieces, 1500);
            event(&mut body).await;
        }
        running.push((stream, pieces, body));
    }
    // What each has said last was not read before it was kept.
    assert!(store.size() <= 10_000 + 6 * 1700, "{}", store.size());
    assert_eq!(store.len(), 6);
    let (last, ..) = running.last().expect("one");
    assert_eq!(last.take_up(0).1, Seek::Truncated);
    drop(running);
    assert_eq!((store.len(), store.size()), (0, 0), "who read them held them");
}

#[tokio::test]
async fn what_nobody_wants_is_let_go() {
    let store = store(|_| {});
    let (one, pieces) = stream(&store, 1, 1).expect("room");
    let (other, others) = stream(&store, 1, 2).expect("room");
    for (stream, pieces) in [(&one, &pieces), (&other, &others)] {
        say(pieces, 500);
        event(&mut client(stream)).await;
    }
    let before = store.size();
    store.unwanted([2; 16], &RequestId::from_u64(1));
    assert_eq!(store.size(), before, "another session's");
    store.unwanted([1; 16], &RequestId::from_u64(1));
    assert!(store.size() < before && store.size() > 0);
    assert_eq!(other.take_up(0).1, Seek::Found);
    store.forget([1; 16]);
    assert_eq!(store.len(), 0);
    drop((pieces, others));
    // A stream that ends after its session is not kept.
    let turn = other.take_up(1).0;
    assert!(
        Body::relayed(ReplayBody::new(other.clone(), turn, None))
            .frame()
            .await
            .is_none()
    );
    assert_eq!(store.len(), 0);
    drop((one, other));
    assert_eq!(store.size(), 0);
}

#[tokio::test]
async fn who_was_passed_over_takes_nothing_from_who_reads() {
    let store = store(|_| {});
    let (stream, pieces) = stream(&store, 1, 1).expect("room");
    let mut first = client(&stream);
    say(&pieces, 1);
    event(&mut first).await;
    let (turn, rewound) = stream.take_up(1);
    assert_eq!(rewound, Seek::Found);
    let mut second = Body::relayed(ReplayBody::new(stream.clone(), turn, None));
    // It waits for more, and must be woken by what comes although the first is asked once more.
    let reading = tokio::spawn(async move { event(&mut second).await });
    tokio::task::yield_now().await;
    assert!(first.frame().await.is_none());
    say(&pieces, 2);
    let (id, text) = reading.await.expect("no panic");
    assert!(id.ends_with(b".2\n"), "{id:?}");
    assert_eq!(text, sse::event(b"xx"));
}

#[tokio::test]
async fn a_stream_that_nobody_can_take_up_goes_when_its_reader_goes() {
    let store = store(|_| {});
    let (stream, pieces) = stream(&store, 1, 1).expect("room");
    let body = client(&stream);
    drop(stream);
    assert_eq!(store.len(), 1);
    drop(body);
    assert_eq!(store.len(), 0);
    assert!(pieces.is_closed(), "and so does what it came from");
}

#[tokio::test]
async fn a_shelf_that_is_full_takes_no_more() {
    let store = store(|limits| (limits.replays, limits.session_replays) = (3, 2));
    let first = stream(&store, 1, 1).expect("room");
    let second = stream(&store, 1, 2).expect("room");
    assert!(stream(&store, 1, 3).is_none(), "of this session");
    let third = stream(&store, 2, 1).expect("room");
    assert!(stream(&store, 2, 2).is_none(), "of all");
    // The one that is over makes room.
    drop(first.1);
    assert!(client(&first.0).frame().await.is_none());
    drop(first.0);
    assert_eq!(store.len(), 3);
    let fourth = stream(&store, 2, 2).expect("room");
    assert_eq!(store.len(), 3);
    drop((second, third, fourth));
    assert_eq!(store.len(), 0);
}
