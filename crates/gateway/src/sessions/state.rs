//! The session state shared by all replicas: kept in the session store and changed by compare-and-set.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use jiff::Timestamp;
use portolan_core::{Error, Precondition, Result};
use portolan_wire::level::LogLevel;
use serde::{Deserialize, Serialize};

use super::{NONCE_LEN, Session, Sessions};

/// The maximum number of attempts while others change the same entry.
const TRIES: usize = 16;

/// The mutable state of a session. Stored as JSON; an empty value means that the session has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The subscribed resources.
    pub(crate) uris: BTreeSet<Arc<str>>,
    /// The minimum level of log messages that the session receives.
    pub(crate) level: Option<LogLevel>,
    /// The tasks created by its calls, by the ids the client knows.
    pub(crate) tasks: Vec<Arc<str>>,
}

#[derive(Default, Deserialize, Serialize)]
struct StoredState<'a> {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uris: Vec<String>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<String>,
}

impl Sessions {
    /// Changes the state of a session on all replicas. `change` is called again after a conflict, and returns whether
    /// there is something to write.
    pub(crate) async fn change(&self, session: &Session, mut change: impl FnMut(&mut State) -> bool) -> Result<bool> {
        let key = session.key();
        let expires = Timestamp::from_second(session.expires).unwrap_or(Timestamp::MAX);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let stored = self.store.get(&key, now).await?;
            let (mut state, precondition) = match &stored {
                None => (State::default(), Precondition::Absent),
                Some(stored) => {
                    let state = State::read(&stored.value).ok_or_else(|| Error::invalid("session", "has ended"))?;
                    (state, Precondition::Version(stored.version))
                }
            };
            if !change(&mut state) {
                session.set(state);
                return Ok(false);
            }
            match self.store.put(&key, state.text(), expires, now, precondition).await {
                Ok(_) => {
                    session.set(state);
                    return Ok(true);
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("session", "with many changes at once"))
    }

    /// Reads the state again; false if the session has ended.
    pub(crate) async fn reread(&self, session: &Session) -> Result<bool> {
        let stored = self.store.get(&session.key(), self.clock.now()).await?;
        Ok(stored.is_none_or(|stored| session.apply(&stored.value)))
    }

    /// The session that replicas call `name`, if it is remembered here.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Session>> {
        if name.len() != 2 * NONCE_LEN || !name.is_ascii() {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        for (at, byte) in nonce.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&name[2 * at..2 * at + 2], 16).ok()?;
        }
        let live = self.lock();
        live.by_id.get(live.ids.get(&nonce)?).cloned()
    }
}

impl Session {
    /// Applies a stored state; returns `false` if the session has ended.
    pub(super) fn apply(&self, stored: &Bytes) -> bool {
        let state = State::read(stored);
        let is_active = state.is_some();
        if let Some(state) = state {
            self.set(state);
            if let Some(subscriber) = self.subscriber() {
                subscriber.update(self.subscriptions(), self.conversation.level());
            }
        }
        is_active
    }

    fn set(&self, state: State) {
        self.conversation.set_level(state.level);
        *self.uris.lock().unwrap_or_else(PoisonError::into_inner) = state.uris;
        self.tasks.set(state.tasks);
    }
}

impl State {
    /// Parses a stored state; `None` if the session has ended.
    fn read(text: &Bytes) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        // A value written by another version is ignored, so that it does not end the session.
        let stored: StoredState<'_> = serde_json::from_slice(text).unwrap_or_default();
        Some(Self {
            uris: stored.uris.into_iter().map(Arc::from).collect(),
            level: stored.level.and_then(LogLevel::parse),
            tasks: stored.tasks.into_iter().map(Arc::from).collect(),
        })
    }

    fn text(&self) -> Bytes {
        let stored = StoredState {
            uris: self.uris.iter().map(|uri| uri.to_string()).collect(),
            level: self.level.map(LogLevel::as_str),
            tasks: self.tasks.iter().map(|id| id.to_string()).collect(),
        };
        // Serialising strings cannot fail; the fallback is not empty, so it does not end the session.
        serde_json::to_vec(&stored).unwrap_or_else(|_| b"{}".to_vec()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_round_trips_and_is_never_empty() {
        let full = State {
            uris: [Arc::from("file:///a \"b\""), Arc::from("ü://")].into(),
            level: Some(LogLevel::Warning),
            tasks: vec!["b".into(), "a".into()],
        };
        for state in [State::default(), full] {
            assert_eq!(State::read(&state.text()), Some(state));
        }
        assert_eq!(State::read(&Bytes::new()), None);
        assert_eq!(State::read(&Bytes::from_static(b"junk")), Some(State::default()));
    }
}
