//! Notices between replicas, sent over the bus.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use portolan_wire::id::RequestId;

use super::Replicas;

/// `<name of the session> ended`, or `<name> state` when its state has changed.
const SESSIONS: &str = "portolan/sessions";
/// `<name of the session> <raw id of the request>`.
const CANCEL: &str = "portolan/cancel";
/// The delay before a broken subscription to the bus is renewed.
const RETRY: Duration = Duration::from_secs(1);

/// A notice about a session, by the session's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The stored state of the session has changed.
    State(String),
    /// The session has ended.
    Ended(String),
    /// The client cancels a request of the session.
    Cancel(String, RequestId),
}

impl Notice {
    fn message(&self) -> (&'static str, String) {
        match self {
            Self::State(session) => (SESSIONS, format!("{session} state")),
            Self::Ended(session) => (SESSIONS, format!("{session} ended")),
            Self::Cancel(session, id) => (CANCEL, format!("{session} {id}")),
        }
    }

    fn read(topic: &str, message: &Bytes) -> Option<Self> {
        let (session, what) = std::str::from_utf8(message).ok()?.split_once(' ')?;
        let session = session.to_owned();
        Some(match (topic, what) {
            (CANCEL, id) => {
                let id = RequestId::parse(&Bytes::copy_from_slice(id.as_bytes())).ok()?;
                Self::Cancel(session, id)
            }
            (_, "ended") => Self::Ended(session),
            _ => Self::State(session),
        })
    }
}

impl Replicas {
    /// Publishes a notice to the other replicas. Failures are logged.
    pub(crate) async fn publish(&self, notice: &Notice) {
        let Some(bus) = &self.bus else { return };
        let (topic, message) = notice.message();
        if let Err(error) = bus.publish(topic, message.into()).await {
            tracing::warn!(topic, %error, "a notice cannot be published to other replicas");
        }
    }

    /// Handles the notices of other replicas, without end. Returns at once if there is no bus.
    pub(crate) async fn receive<F: Future<Output = ()>>(&self, handle: impl Fn(Notice) -> F) {
        join_all([SESSIONS, CANCEL].map(|topic| self.receive_topic(topic, &handle))).await;
    }

    async fn receive_topic<F: Future<Output = ()>>(&self, topic: &'static str, handle: &impl Fn(Notice) -> F) {
        let Some(bus) = &self.bus else { return };
        loop {
            match bus.subscribe(topic).await {
                Ok(mut messages) => {
                    while let Some(message) = messages.next().await {
                        if let Some(notice) = Notice::read(topic, &message) {
                            handle(notice).await;
                        }
                    }
                }
                Err(error) => tracing::warn!(topic, %error, "notices of other replicas cannot be received"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_round_trip() {
        let id = RequestId::from_u64(7);
        for notice in [
            Notice::State("a".into()),
            Notice::Ended("a".into()),
            Notice::Cancel("a".into(), id),
        ] {
            let (topic, message) = notice.message();
            assert_eq!(Notice::read(topic, &message.into()), Some(notice));
        }
        assert_eq!(Notice::read(CANCEL, &Bytes::from_static(b"a")), None);
    }
}
