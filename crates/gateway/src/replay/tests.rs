//! Bounds and lifetimes of kept streams.

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
    event_buffer::Seek,
    event_id::{EventIdPrefix, RequestRef, StreamId, StreamKind},
    stream::ReplayStream,
    streams::ReplayStore,
};
use crate::{GatewayConfig, TokenKeys, body::Body, config::GatewayLimits, replicas::ReplicaLocation};

type Chunks = UnboundedSender<Result<Bytes, BoxError>>;

fn store(change: impl FnOnce(&mut GatewayLimits)) -> Arc<ReplayStore> {
    let mut config = GatewayConfig::default();
    change(&mut config.limits);
    Arc::new(ReplayStore::new(&config, TaskTracker::new()))
}

fn prefix() -> EventIdPrefix {
    let location = ReplicaLocation {
        replica: [0; 8],
        url: None,
        handle: [0; 16],
    };
    let stream = StreamId {
        session: [0; 16],
        location,
        of: StreamKind::Session,
    };
    stream.seal(&TokenKeys::random().expect("keys")).expect("short enough")
}

/// Returns a stream of this session, and the sender of its body.
fn stream(store: &Arc<ReplayStore>, session: u8, number: u8) -> Option<(Arc<ReplayStream>, Chunks)> {
    let (chunks, mut receiver) = unbounded_channel();
    let frames = futures_util::stream::poll_fn(move |cx| {
        let chunk: std::task::Poll<Option<Result<Bytes, BoxError>>> = receiver.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
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
    put.map(|stream| (stream, chunks))
}

fn say(chunks: &Chunks, size: usize) {
    chunks.send(Ok(sse::event(&vec![b'x'; size]))).expect("a stream");
}

/// Returns a client that reads the stream from its start.
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
async fn total_size_is_bounded() {
    let store = store(|limits| limits.all_replay_bytes = 10_000);
    // Ended streams are evicted.
    for number in 0..20 {
        let (stream, chunks) = stream(&store, 1, number).expect("room");
        let mut body = client(&stream);
        say(&chunks, 1500);
        event(&mut body).await;
        drop(chunks);
        assert!(body.frame().await.is_none());
        drop((stream, body));
        assert!(store.size() <= 10_000, "{}", store.size());
    }
    assert!((4..=6).contains(&store.len()), "{}", store.len());
    // Then running streams are trimmed.
    let mut running = Vec::new();
    for number in 20..26 {
        let (stream, chunks) = stream(&store, 2, number).expect("room");
        let mut body = client(&stream);
        for _ in 0..5 {
            say(&chunks, 1500);
            event(&mut body).await;
        }
        running.push((stream, chunks, body));
    }
    // The last event of each was buffered before it was read.
    assert!(store.size() <= 10_000 + 6 * 1700, "{}", store.size());
    assert_eq!(store.len(), 6);
    let (last, ..) = running.last().expect("one");
    assert_eq!(last.resume_after(0).1, Seek::Truncated);
    drop(running);
    assert_eq!((store.len(), store.size()), (0, 0), "their readers kept them alive");
}

#[tokio::test]
async fn discarded_streams_free_memory() {
    let store = store(|_| {});
    let (one, chunks) = stream(&store, 1, 1).expect("room");
    let (other, other_chunks) = stream(&store, 1, 2).expect("room");
    for (stream, chunks) in [(&one, &chunks), (&other, &other_chunks)] {
        say(chunks, 500);
        event(&mut client(stream)).await;
    }
    let before = store.size();
    store.discard([2; 16], &RequestId::from_u64(1));
    assert_eq!(store.size(), before, "another session's");
    store.discard([1; 16], &RequestId::from_u64(1));
    assert!(store.size() < before && store.size() > 0);
    assert_eq!(other.resume_after(0).1, Seek::Found);
    store.forget([1; 16]);
    assert_eq!(store.len(), 0);
    drop((chunks, other_chunks));
    // A stream that ends after its session is not kept.
    let turn = other.resume_after(1).0;
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
async fn superseded_reader_takes_nothing() {
    let store = store(|_| {});
    let (stream, chunks) = stream(&store, 1, 1).expect("room");
    let mut first = client(&stream);
    say(&chunks, 1);
    event(&mut first).await;
    let (turn, found) = stream.resume_after(1);
    assert_eq!(found, Seek::Found);
    let mut second = Body::relayed(ReplayBody::new(stream.clone(), turn, None));
    // It waits for more, and must be woken by the next event although the first reader is polled once more.
    let reading = tokio::spawn(async move { event(&mut second).await });
    tokio::task::yield_now().await;
    assert!(first.frame().await.is_none());
    say(&chunks, 2);
    let (id, text) = reading.await.expect("no panic");
    assert!(id.ends_with(b".2\n"), "{id:?}");
    assert_eq!(text, sse::event(b"xx"));
}

#[tokio::test]
async fn running_stream_dropped_with_reader() {
    let store = store(|_| {});
    let (stream, chunks) = stream(&store, 1, 1).expect("room");
    let body = client(&stream);
    drop(stream);
    assert_eq!(store.len(), 1);
    drop(body);
    assert_eq!(store.len(), 0);
    assert!(chunks.is_closed(), "its body is dropped too");
}

#[tokio::test]
async fn full_store_refuses_streams() {
    let store = store(|limits| (limits.replays, limits.session_replays) = (3, 2));
    let first = stream(&store, 1, 1).expect("room");
    let second = stream(&store, 1, 2).expect("room");
    assert!(stream(&store, 1, 3).is_none(), "of this session");
    let third = stream(&store, 2, 1).expect("room");
    assert!(stream(&store, 2, 2).is_none(), "of all");
    // The ended stream is evicted.
    drop(first.1);
    assert!(client(&first.0).frame().await.is_none());
    drop(first.0);
    assert_eq!(store.len(), 3);
    let fourth = stream(&store, 2, 2).expect("room");
    assert_eq!(store.len(), 3);
    drop((second, third, fourth));
    assert_eq!(store.len(), 0);
}
