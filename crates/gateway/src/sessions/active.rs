//! The sessions that a replica remembers.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{NONCE_LEN, Session};

#[derive(Debug, Default)]
pub(super) struct ActiveSessions {
    pub(super) by_id: HashMap<Arc<str>, Arc<Session>>,
    /// The ids, by nonce.
    pub(super) ids: HashMap<[u8; NONCE_LEN], Arc<str>>,
    pub(super) swept: i64,
}

impl ActiveSessions {
    /// Forgets what is unused or over, and the longest unused above the limit; gives what it forgot. A session with a
    /// call under way stays, because the call may still be cancelled.
    pub(super) fn sweep(&mut self, now: i64, idle: i64, most: usize) -> Vec<Arc<Session>> {
        self.swept = now;
        let is_over = |session: &Session| {
            session.ends <= now || (now - session.used.load(Ordering::Relaxed) >= idle && session.is_quiet())
        };
        let over = self.by_id.extract_if(|_, session| is_over(session));
        let mut gone: Vec<_> = over.map(|(_, session)| session).collect();
        if self.by_id.len() > most {
            let mut used: Vec<_> = self
                .by_id
                .values()
                .map(|session| session.used.load(Ordering::Relaxed))
                .collect();
            // A tenth more than needed goes, so that a full house is not swept at every door.
            let surplus = (self.by_id.len() - most + most / 10).min(used.len() - 1);
            let (_, last, _) = used.select_nth_unstable(surplus);
            let last = *last;
            let mut left = surplus;
            let unused = self.by_id.extract_if(|_, session| {
                let goes = left > 0 && session.used.load(Ordering::Relaxed) <= last && session.is_quiet();
                left -= usize::from(goes);
                goes
            });
            gone.extend(unused.map(|(_, session)| session));
        }
        for session in &gone {
            self.ids.remove(&session.nonce);
        }
        self.shrink();
        gone
    }

    /// Gives back the room that was needed for many more.
    pub(super) fn shrink(&mut self) {
        let most = 4 * self.by_id.len() + 1024;
        if self.by_id.capacity() > most {
            self.by_id.shrink_to_fit();
        }
        if self.ids.capacity() > most {
            self.ids.shrink_to_fit();
        }
    }
}
