//! What every replica must know of a session: in the store, written by compare-and-set.

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

/// How often a change is tried while others change the same.
const TRIES: usize = 16;

/// The part of a session that changes. As JSON in the store; an empty text says that the session has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// What it has subscribed to.
    pub(crate) uris: BTreeSet<Arc<str>>,
    /// The level from which on it is told what is logged.
    pub(crate) level: Option<LogLevel>,
    /// The tasks that its calls have become, as the client knows them.
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
    /// Changes the state of a session on all replicas; `change` may be called again when others change it meanwhile, and
    /// says whether there is something to write.
    pub(crate) async fn change(&self, session: &Session, mut change: impl FnMut(&mut State) -> bool) -> Result<bool> {
        let key = session.key();
        let ends = Timestamp::from_second(session.ends).unwrap_or(Timestamp::MAX);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let kept = self.store.get(&key, now).await?;
            let (mut state, when) = match &kept {
                None => (State::default(), Precondition::Absent),
                Some(kept) => {
                    let state = State::read(&kept.value).ok_or_else(|| Error::invalid("session", "has ended"))?;
                    (state, Precondition::Version(kept.version))
                }
            };
            if !change(&mut state) {
                session.set(state);
                return Ok(false);
            }
            match self.store.put(&key, state.text(), ends, now, when).await {
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
        let kept = self.store.get(&session.key(), self.clock.now()).await?;
        Ok(kept.is_none_or(|kept| session.take(&kept.value)))
    }

    /// The session that replicas call `name`, if it is remembered here.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Session>> {
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
    /// Takes over what is kept; false if that says that the session has ended.
    pub(super) fn take(&self, kept: &Bytes) -> bool {
        let state = State::read(kept);
        let goes_on = state.is_some();
        if let Some(state) = state {
            self.set(state);
            if let Some(subscriber) = self.subscriber() {
                subscriber.update(self.subscriptions(), self.conversation.level());
            }
        }
        goes_on
    }

    fn set(&self, state: State) {
        self.conversation.set_level(state.level);
        *self.uris.lock().unwrap_or_else(PoisonError::into_inner) = state.uris;
        self.tasks.set(state.tasks);
    }
}

impl State {
    /// What is kept; `None` says that the session has ended.
    fn read(text: &Bytes) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        // What another version of this program has written is passed over rather than ending the session.
        let kept: StoredState<'_> = serde_json::from_slice(text).unwrap_or_default();
        Some(Self {
            uris: kept.uris.into_iter().map(Arc::from).collect(),
            level: kept.level.and_then(LogLevel::parse),
            tasks: kept.tasks.into_iter().map(Arc::from).collect(),
        })
    }

    fn text(&self) -> Bytes {
        let kept = StoredState {
            uris: self.uris.iter().map(|uri| uri.to_string()).collect(),
            level: self.level.map(LogLevel::as_str),
            tasks: self.tasks.iter().map(|id| id.to_string()).collect(),
        };
        // Strings alone cannot fail to be written; an object without members is no ended session.
        serde_json::to_vec(&kept).unwrap_or_else(|_| b"{}".to_vec()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_is_never_taken_for_an_end() {
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
