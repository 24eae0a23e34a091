//! The stream that a legacy client opens with GET, for notifications outside of calls.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, StatusCode};
use portolan_core::{Channel, ChannelNotification};
use portolan_wire::{
    envelope,
    method::Method,
    object::{self, RawObject},
    sse,
};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    call::KEEP_ALIVE,
    legacy,
    reply::{self, Reply},
    request_body::accepts,
    service::Bridge,
    session::Session,
};

struct NotificationStream {
    session: Arc<Session>,
    notifications: broadcast::Receiver<ChannelNotification>,
    /// Cancelled when the session ends or another stream replaces this one.
    ended: CancellationToken,
    shutdown: CancellationToken,
}

/// Handles a GET: opens the stream.
pub(super) fn get(bridge: &Bridge, headers: &HeaderMap) -> Reply {
    if !accepts(headers, "text/event-stream") {
        return reply::empty(StatusCode::NOT_ACCEPTABLE);
    }
    let session = match legacy::session(bridge, headers) {
        Ok(session) => session,
        Err(status) => return reply::empty(status),
    };
    let stream_state = NotificationStream {
        ended: session.stream(),
        notifications: bridge.server.notifications(),
        shutdown: bridge.shutdown.clone(),
        session,
    };
    let later = stream::unfold(stream_state, async |mut stream_state| {
        Some((stream_state.next().await?, stream_state))
    });
    let first = vec![Bytes::from_static(sse::COMMENT)];
    reply::stream(stream::iter([first]).chain(later).boxed())
}

impl NotificationStream {
    /// Returns the next event; `None` at the end.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        loop {
            let notifications = tokio::select! {
                notifications = timeout(KEEP_ALIVE, self.notifications.recv()) => notifications,
                () = self.ended.cancelled() => return None,
                () = self.shutdown.cancelled() => return None,
            };
            match notifications {
                Ok(Ok(notification)) if self.is_relevant(&notification) => {
                    let method = Method::parse(&notification.method);
                    let message = envelope::notification(&method, notification.params.as_deref());
                    return Some(reply::event([message]));
                }
                // A client that reads slowly misses some notifications.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(vec![Bytes::from_static(sse::COMMENT)]),
            }
        }
    }

    fn is_relevant(&self, notification: &ChannelNotification) -> bool {
        if Method::parse(&notification.method) != Method::ResourceUpdated {
            return true;
        }
        let params = notification
            .params
            .as_ref()
            .and_then(|params| RawObject::parse(params).ok());
        let uri = params.and_then(|params| Some(object::text(params.get("uri")?)?.into_owned()));
        uri.is_some_and(|uri| self.session.is_subscribed_to(&uri))
    }
}

impl Drop for NotificationStream {
    fn drop(&mut self) {
        self.session.end_stream(&self.ended);
    }
}
