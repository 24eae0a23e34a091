use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;

fn event(number: u128, status: Status) -> StatusEvent {
    StatusEvent::new(
        InstallName::from(Uuid::from_u128(number)),
        status,
        Timestamp::UNIX_EPOCH,
    )
}

fn pending(cause: impl ToString) -> Status {
    Status::Pending {
        cause: Some(cause.to_string()),
    }
}

async fn next(events: &mut BoxStream<'static, StatusEvent>) -> StatusEvent {
    let next = timeout(Duration::from_secs(10), events.next()).await;
    next.expect("an event in time").expect("the board is there")
}

#[tokio::test]
async fn watch_begins_with_present_deployments() {
    let board = StatusBoard::new();
    board.set(event(1, Status::Ready));
    board.set(event(2, Status::Ready));
    board.set(event(3, pending("x")));
    board.set(event(2, Status::Removed));
    let mut events = board.watch();
    assert_eq!(next(&mut events).await, event(1, Status::Ready));
    assert_eq!(next(&mut events).await, event(3, pending("x")));
    assert_eq!(events.next().now_or_never(), None);
}

#[tokio::test]
async fn changes_come_in_order_without_repeats() {
    let board = StatusBoard::new();
    let mut events = board.watch();
    for status in [pending("a"), Status::Ready] {
        board.set(event(1, status.clone()));
        board.set(event(1, status.clone()));
        assert_eq!(next(&mut events).await.status, status);
        assert_eq!(events.next().now_or_never(), None);
    }
    let mut restarted = event(1, Status::Ready);
    restarted.restarts = 1;
    board.set(restarted.clone());
    assert_eq!(next(&mut events).await, restarted);
}

#[tokio::test]
async fn slow_watcher_gets_last_statuses() {
    let board = StatusBoard::new();
    let mut events = board.watch();
    for number in 0..1000 {
        board.set(event(1, pending(number)));
        board.set(event(2, pending(number)));
    }
    board.set(event(1, Status::Removed));
    assert_eq!(next(&mut events).await, event(2, pending(999)));
    assert_eq!(next(&mut events).await, event(1, Status::Removed));
    assert_eq!(events.next().now_or_never(), None);
}

#[tokio::test]
async fn watch_ends_with_board() {
    let board = StatusBoard::new();
    let clone = board.clone();
    let mut events = board.watch();
    drop(board);
    assert_eq!(events.next().now_or_never(), None, "a clone is the same board");
    drop(clone);
    assert_eq!(timeout(Duration::from_secs(10), events.next()).await, Ok(None));
}

#[test]
fn removed_deployments_are_forgotten() {
    let board = StatusBoard::new();
    for number in 0..5_000 {
        board.set(event(number, Status::Ready));
        board.set(event(number, Status::Removed));
        assert_eq!(board.get(&event(number, Status::Removed).install), None);
    }
    assert_eq!(board.lock().last.len(), REMOVED_KEPT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_lose_no_last_status() {
    for _ in 0..200 {
        let board = StatusBoard::new();
        let mut events = board.watch();
        let writers: Vec<_> = (0..4)
            .map(|number| {
                let board = board.clone();
                tokio::spawn(async move {
                    board.set(event(number, pending("up")));
                    board.set(event(number, Status::Ready));
                })
            })
            .collect();
        let mut ready = std::collections::BTreeSet::new();
        while ready.len() < writers.len() {
            let event = next(&mut events).await;
            if event.status == Status::Ready {
                ready.insert(event.install);
            }
        }
        for writer in writers {
            writer.await.expect("a writer");
        }
    }
}
