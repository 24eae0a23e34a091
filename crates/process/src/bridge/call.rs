//! A call under way: from the server's events to the HTTP response.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use portolan_core::{ExchangeEvent, Result, RpcResponse};
use portolan_wire::{id::RequestId, sse};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    relay::Relay,
    reply::{self, Reply},
};
use crate::channel::{CallRef, DispatchedCall};

/// After this long without an event, a comment keeps the connection alive.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A call under way. On drop before its end, a modern call is cancelled; a legacy one goes on, because a lost connection
/// is no cancellation there (2025-11-25, streamable HTTP).
pub(super) struct Call {
    events: mpsc::Receiver<ExchangeEvent>,
    handle: CallRef,
    relay: Relay,
    /// Its last event has come.
    is_over: bool,
    shutdown: CancellationToken,
    calls: TaskTracker,
    /// Counts the call as under way; `None` for a `subscriptions/listen`, which has no end of its own.
    under_way: Option<TaskTrackerToken>,
}

/// The next step of a call.
enum CallEvent {
    /// An event of its stream.
    Event(Vec<Bytes>),
    /// Its end.
    RpcResponse(Result<RpcResponse>),
    /// Its end without a response: it was cancelled.
    Off,
}

impl Call {
    pub(super) fn new(
        dispatched: DispatchedCall,
        relay: Relay,
        shutdown: CancellationToken,
        calls: &TaskTracker,
    ) -> Self {
        Self {
            events: dispatched.events,
            handle: dispatched.handle,
            under_way: (!relay.listens()).then(|| calls.token()),
            relay,
            is_over: false,
            shutdown,
            calls: calls.clone(),
        }
    }

    /// Returns one JSON text if the response comes first, else an event stream.
    pub(super) async fn reply(mut self) -> Reply {
        let id = self.relay.id().clone();
        match timeout(KEEP_ALIVE, self.step()).await {
            Ok(CallEvent::RpcResponse(Ok(answer))) => {
                let status = reply::status(self.relay.era(), &answer);
                reply::json(status, reply::answer(&id, answer))
            }
            Ok(CallEvent::RpcResponse(Err(why))) => {
                reply::error(reply::failure_status(&why, true), Some(&id), &reply::failure(&why))
            }
            Ok(CallEvent::Event(event)) => self.stream(event),
            Ok(CallEvent::Off) => reply::stream(stream::empty().boxed()),
            Err(_) => self.stream(vec![Bytes::from_static(sse::COMMENT)]),
        }
    }

    fn stream(self, first: Vec<Bytes>) -> Reply {
        let rest = stream::unfold(Some(self), async |call| {
            let mut call = call?;
            let event = call.event().await?;
            Some((event, (!call.is_over).then_some(call)))
        });
        reply::stream(stream::iter([first]).chain(rest).boxed())
    }

    /// Returns the next event of the stream; `None` at its end.
    async fn event(&mut self) -> Option<Vec<Bytes>> {
        let id = self.relay.id().clone();
        match timeout(KEEP_ALIVE, self.step()).await {
            Ok(CallEvent::Event(event)) => Some(event),
            Ok(CallEvent::RpcResponse(Ok(answer))) => Some(reply::event(reply::answer(&id, answer))),
            Ok(CallEvent::RpcResponse(Err(why))) => {
                let message = portolan_wire::envelope::error(Some(&id), &reply::failure(&why));
                Some(reply::event([message]))
            }
            Ok(CallEvent::Off) => None,
            Err(_) => Some(vec![Bytes::from_static(sse::COMMENT)]),
        }
    }

    async fn step(&mut self) -> CallEvent {
        loop {
            let listens = self.relay.listens();
            let event = tokio::select! {
                biased;
                event = self.events.recv() => event,
                () = self.shutdown.cancelled(), if listens => {
                    self.handle.cancel();
                    self.is_over = true;
                    return CallEvent::RpcResponse(Ok(self.relay.subscription_end()));
                }
            };
            match event {
                Some(ExchangeEvent::Notification(notification)) => {
                    return CallEvent::Event(reply::event([self.relay.notification(notification)]));
                }
                Some(ExchangeEvent::ServerRequest(question)) => {
                    if let Some(request) = self.relay.question(question, &self.handle) {
                        return CallEvent::Event(reply::event([request]));
                    }
                }
                Some(ExchangeEvent::Response(answer)) => {
                    self.is_over = true;
                    return CallEvent::RpcResponse(answer.map(|answer| self.relay.answer(answer)));
                }
                Some(_) => {}
                None => {
                    self.is_over = true;
                    return CallEvent::Off;
                }
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Some(slot) = self.relay.detach() else {
            return self.handle.cancel();
        };
        let mut events = std::mem::replace(&mut self.events, mpsc::channel(1).1);
        let (handle, under_way) = (self.handle.clone(), self.under_way.take());
        self.calls.spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    ExchangeEvent::ServerRequest(question) => handle.respond(question.key, super::relay::no_client()),
                    ExchangeEvent::Response(_) => break,
                    _ => {}
                }
            }
            drop((slot, under_way));
        });
    }
}

/// Returns an id that does not keep the body of its request in memory.
pub(super) fn detached(id: &RequestId) -> RequestId {
    id.detached()
}
