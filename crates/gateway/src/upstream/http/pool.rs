//! The sessions at a legacy server in which calls are made.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method as Verb};
use portolan_core::{Outbound, Subject, Version};
use portolan_wire::{
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};

use super::HttpUpstream;
use crate::{
    question::Abilities,
    upstream::{
        ClientSide, ask,
        session::{Open, UpstreamSession},
    },
};

/// Sessions that are kept for modern callers of a legacy server.
const POOL: usize = 1024;

/// Modern callers have no sessions; at a legacy server they share one per caller, credential, and what the server was told
/// that they can be asked.
pub(super) type PoolKey = (Option<Subject>, Option<Version>, Abilities);

impl HttpUpstream {
    /// The session that belongs to a legacy client's, or the one that modern callers share.
    pub(super) fn session_for(
        self: &Arc<Self>,
        client: &ClientSide<'_>,
        credential: &Arc<Outbound>,
        asks: Abilities,
    ) -> Arc<UpstreamSession> {
        let make = || Arc::new(UpstreamSession::new(self, credential.clone()));
        let subject = match client {
            ClientSide::Legacy { session, .. } => {
                return session.upstream(&self.server.name, |old| old.fits(self, credential.version), make);
            }
            ClientSide::Modern { caller, .. } => Some(caller.subject.clone()),
            ClientSide::Gateway => None,
        };
        let key = (subject, credential.version, asks);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() >= POOL
            && !pool.contains_key(&key)
            // One that no call is using; a pool that is in use all over grows by one.
            && let Some(idle) = pool.iter().find(|(_, session)| Arc::strong_count(session) == 1)
            && let idle = idle.0.clone()
            && let Some(session) = pool.remove(&idle)
        {
            self.tasks().spawn(async move { session.close().await });
        }
        pool.entry(key).or_insert_with(make).clone()
    }

    /// Asks a server to log from `level` on, once. One that does not log refuses, which is as good.
    pub(crate) async fn set_level(&self, open: &Open, credential: &Outbound, level: LogLevel) {
        if open.level.swap(level.number(), Ordering::Relaxed) == level.number() {
            return;
        }
        let mut params = RawObject::new();
        params.set("level", object::quote(level.as_str()));
        if let Err(error) = ask(self, open, credential, &Method::SetLevel, &params).await {
            tracing::debug!(server = %self.server.name, %error, "a server cannot be told from which level on to log");
        }
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, open: &Open, credential: &Outbound) {
        if open.id.is_none() {
            return;
        }
        let mut headers = self.headers(credential, &HeaderMap::new());
        open.write(&mut headers);
        let Ok(mut request) = self.post(headers, Bytes::new()) else {
            return;
        };
        *request.method_mut() = Verb::DELETE;
        let sending = self.send(request, credential);
        let _ = tokio::time::timeout(self.connector.config.timeouts.connect, sending).await;
    }
}
