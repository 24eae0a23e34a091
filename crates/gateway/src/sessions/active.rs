//! The sessions that a replica holds in memory.

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
    /// Removes and returns idle and expired sessions, and the least recently used ones above `limit`. A session with a
    /// call in flight stays, because the call may still be cancelled.
    pub(super) fn sweep(&mut self, now: i64, idle: i64, limit: usize) -> Vec<Arc<Session>> {
        self.swept = now;
        let is_expired = |session: &Session| {
            session.expires <= now || (now - session.used.load(Ordering::Relaxed) >= idle && session.is_quiet())
        };
        let expired = self.by_id.extract_if(|_, session| is_expired(session));
        let mut removed: Vec<_> = expired.map(|(_, session)| session).collect();
        if self.by_id.len() > limit {
            let mut used: Vec<_> = self
                .by_id
                .values()
                .map(|session| session.used.load(Ordering::Relaxed))
                .collect();
            // Evicts a tenth more than needed, so that a full table is not swept for every new session.
            let surplus = (self.by_id.len() - limit + limit / 10).min(used.len() - 1);
            let (_, last, _) = used.select_nth_unstable(surplus);
            let last = *last;
            let mut left = surplus;
            let unused = self.by_id.extract_if(|_, session| {
                let evict = left > 0 && session.used.load(Ordering::Relaxed) <= last && session.is_quiet();
                left -= usize::from(evict);
                evict
            });
            removed.extend(unused.map(|(_, session)| session));
        }
        for session in &removed {
            self.ids.remove(&session.nonce);
        }
        self.shrink();
        removed
    }

    /// Shrinks the tables if they are much larger than needed.
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
