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
    event_id::{Of, Stem, StreamId, Whose},
    playback::Playback,
    reel::Rewound,
    shelf::Shelf,
    tape::Tape,
};
use crate::{GatewayConfig, TokenKeys, body::Body, config::GatewayLimits, question::Place};

type Pieces = UnboundedSender<Result<Bytes, BoxError>>;

fn shelf(change: impl FnOnce(&mut GatewayLimits)) -> Arc<Shelf> {
    let mut config = GatewayConfig::default();
    change(&mut config.limits);
    Arc::new(Shelf::new(&config, TaskTracker::new()))
}

fn stem() -> Stem {
    let place = Place {
        replica: [0; 8],
        url: None,
        handle: [0; 16],
    };
    let stream = StreamId {
        session: [0; 16],
        place,
        of: Of::Session,
    };
    stream.seal(&TokenKeys::random().expect("keys")).expect("short enough")
}

/// A tape of this session, and who says what comes on it.
fn tape(shelf: &Arc<Shelf>, session: u8, number: u8) -> Option<(Arc<Tape>, Pieces)> {
    let (pieces, mut said) = unbounded_channel();
    let frames = futures_util::stream::poll_fn(move |cx| {
        let piece: std::task::Poll<Option<Result<Bytes, BoxError>>> = said.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    });
    let key = ([session; 16], [number; 16]);
    let whose = Whose {
        id: RequestId::from_u64(number.into()),
        is_tool: true,
    };
    let source = Body::relayed(StreamBody::new(frames));
    let put = shelf.put(key, || Arc::new(Tape::new(key, whose, stem(), true, shelf, source)));
    put.map(|tape| (tape, pieces))
}

fn say(pieces: &Pieces, size: usize) {
    pieces.send(Ok(sse::event(&vec![b'x'; size]))).expect("a tape");
}

/// A client that has the tape from its beginning.
fn client(tape: &Arc<Tape>) -> Body {
    Body::relayed(Playback::new(tape.clone(), 0, None))
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
    let shelf = shelf(|limits| limits.all_replay_bytes = 10_000);
    // Those that are over make room.
    for number in 0..20 {
        let (tape, pieces) = tape(&shelf, 1, number).expect("room");
        let mut body = client(&tape);
        say(&pieces, 1500);
        event(&mut body).await;
        drop(pieces);
        assert!(body.frame().await.is_none());
        drop((tape, body));
        assert!(shelf.size() <= 10_000, "{}", shelf.size());
    }
    assert!((4..=6).contains(&shelf.len()), "{}", shelf.len());
    // Then less is kept of those that go on.
    let mut running = Vec::new();
    for number in 20..26 {
        let (tape, pieces) = tape(&shelf, 2, number).expect("room");
        let mut body = client(&tape);
        for _ in 0..5 {
            say(&pieces, 1500);
            event(&mut body).await;
        }
        running.push((tape, pieces, body));
    }
    // What each has said last was not read before it was kept.
    assert!(shelf.size() <= 10_000 + 6 * 1700, "{}", shelf.size());
    assert_eq!(shelf.len(), 6);
    let (last, ..) = running.last().expect("one");
    assert_eq!(last.take_up(0).1, Rewound::Torn);
    drop(running);
    assert_eq!((shelf.len(), shelf.size()), (0, 0), "who read them held them");
}

#[tokio::test]
async fn what_nobody_wants_is_let_go() {
    let shelf = shelf(|_| {});
    let (one, pieces) = tape(&shelf, 1, 1).expect("room");
    let (other, others) = tape(&shelf, 1, 2).expect("room");
    for (tape, pieces) in [(&one, &pieces), (&other, &others)] {
        say(pieces, 500);
        event(&mut client(tape)).await;
    }
    let before = shelf.size();
    shelf.unwanted([2; 16], &RequestId::from_u64(1));
    assert_eq!(shelf.size(), before, "another session's");
    shelf.unwanted([1; 16], &RequestId::from_u64(1));
    assert!(shelf.size() < before && shelf.size() > 0);
    assert_eq!(other.take_up(0).1, Rewound::There);
    shelf.forget([1; 16]);
    assert_eq!(shelf.len(), 0);
    drop((pieces, others));
    // A stream that ends after its session is not kept.
    let turn = other.take_up(1).0;
    assert!(
        Body::relayed(Playback::new(other.clone(), turn, None))
            .frame()
            .await
            .is_none()
    );
    assert_eq!(shelf.len(), 0);
    drop((one, other));
    assert_eq!(shelf.size(), 0);
}

#[tokio::test]
async fn who_was_passed_over_takes_nothing_from_who_reads() {
    let shelf = shelf(|_| {});
    let (tape, pieces) = tape(&shelf, 1, 1).expect("room");
    let mut first = client(&tape);
    say(&pieces, 1);
    event(&mut first).await;
    let (turn, rewound) = tape.take_up(1);
    assert_eq!(rewound, Rewound::There);
    let mut second = Body::relayed(Playback::new(tape.clone(), turn, None));
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
    let shelf = shelf(|_| {});
    let (tape, pieces) = tape(&shelf, 1, 1).expect("room");
    let body = client(&tape);
    drop(tape);
    assert_eq!(shelf.len(), 1);
    drop(body);
    assert_eq!(shelf.len(), 0);
    assert!(pieces.is_closed(), "and so does what it came from");
}

#[tokio::test]
async fn a_shelf_that_is_full_takes_no_more() {
    let shelf = shelf(|limits| (limits.replays, limits.session_replays) = (3, 2));
    let first = tape(&shelf, 1, 1).expect("room");
    let second = tape(&shelf, 1, 2).expect("room");
    assert!(tape(&shelf, 1, 3).is_none(), "of this session");
    let third = tape(&shelf, 2, 1).expect("room");
    assert!(tape(&shelf, 2, 2).is_none(), "of all");
    // The one that is over makes room.
    drop(first.1);
    assert!(client(&first.0).frame().await.is_none());
    drop(first.0);
    assert_eq!(shelf.len(), 3);
    let fourth = tape(&shelf, 2, 2).expect("room");
    assert_eq!(shelf.len(), 3);
    drop((second, third, fourth));
    assert_eq!(shelf.len(), 0);
}
