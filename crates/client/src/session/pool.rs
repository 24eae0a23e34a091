//! The sessions at a legacy server.
//!
//! The session of a legacy client's call belongs to the client's own session. Modern callers have none, so each has one
//! here per credential and declared capabilities. Where the server has GET streams, calls in which it may send requests
//! are made one at a time per session; concurrent ones get sessions of their own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use portolan_core::{Subject, UpstreamCredential, Version};
use tokio::time::Instant;

use crate::{
    capabilities::ClientCapabilities,
    credential_headers,
    http_server::{HttpServer, open_session::OpenSession},
    session::{SessionUse, UpstreamSession},
};

/// The number of sessions that are kept for modern callers of one server.
const POOL: usize = 1024;

/// The owner of sessions: the caller, its credential, and the capabilities and extensions that the server was told.
type Key = (Option<Subject>, CredentialKey, ClientCapabilities, Option<Bytes>);

/// Tells credentials apart that must not share a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CredentialKey {
    /// No headers, or those of a version.
    Version(Option<Version>),
    /// SHA-256 of the headers of a credential without a version.
    Headers([u8; 32]),
}

impl CredentialKey {
    fn of(credential: &UpstreamCredential) -> Self {
        match credential.version {
            None if !credential.headers.is_empty() => Self::Headers(credential_headers::fingerprint(credential)),
            version => Self::Version(version),
        }
    }
}

/// The sessions of modern callers.
#[derive(Debug)]
pub(crate) struct SessionPool {
    http: Arc<HttpServer>,
    kept: Mutex<HashMap<Key, CallerSessions>>,
    /// Sessions with a call that was left; the oldest first.
    reserved: Mutex<VecDeque<ReservedSession>>,
}

/// The sessions of one key.
#[derive(Debug, Default)]
struct CallerSessions {
    /// The first is the caller's main session; the others are for concurrent calls that must not share it.
    own: Vec<Arc<UpstreamSession>>,
    /// The session of all calls beyond the limit.
    shared: Option<Arc<UpstreamSession>>,
}

/// A session with a call that was left.
#[derive(Debug)]
struct ReservedSession {
    session: Arc<UpstreamSession>,
    /// The key under which it comes back.
    key: Key,
    is_first: bool,
    /// When it is given up.
    until: Instant,
}

/// A session for a call.
pub(crate) struct Taken {
    pub(crate) session: SessionUse,
    /// `Some` if the call reads the GET stream; `true` if it has the session for itself.
    pub(crate) is_exclusive: Option<bool>,
}

impl SessionPool {
    pub(crate) fn new(http: Arc<HttpServer>) -> Self {
        Self {
            http,
            kept: Mutex::default(),
            reserved: Mutex::default(),
        }
    }

    /// The server of these sessions.
    pub(crate) fn http(&self) -> &Arc<HttpServer> {
        &self.http
    }

    /// Returns the session for a call of `subject`; `None` stands for this client itself.
    pub(crate) fn take(
        &self,
        subject: Option<Subject>,
        credential: &Arc<UpstreamCredential>,
        capabilities: ClientCapabilities,
        extensions: Option<Bytes>,
    ) -> Taken {
        let make = || Arc::new(UpstreamSession::new(&self.http, credential.clone()));
        // Internal requests have no client that the server could ask.
        let listens = subject.is_some() && !capabilities.is_none() && !self.http.has_no_get_stream();
        let key = (
            subject,
            CredentialKey::of(credential),
            capabilities,
            extensions.map(|raw| Bytes::copy_from_slice(&raw)),
        );
        let mut gone = Vec::new();
        let mut kept = self.lock();
        let taken = if !listens {
            let session = match kept.get(&key).and_then(|sessions| sessions.own.first()) {
                Some(session) => session.clone(),
                None => add(&mut kept, key, make(), &mut gone),
            };
            Taken {
                session: session.enter_call(),
                is_exclusive: None,
            }
        } else {
            gone.extend(self.give_up());
            let most = self.http.limits().sessions_per_caller;
            let sessions = kept.entry(key.clone()).or_default();
            gone.extend(
                sessions
                    .own
                    .extract_if(.., |session| session.is_idle() && session.is_astray()),
            );
            match sessions.own.iter().find(|session| session.is_idle()).cloned() {
                Some(session) => Taken {
                    session: session.enter_call(),
                    is_exclusive: Some(true),
                },
                None if sessions.own.len() < most => Taken {
                    session: add(&mut kept, key, make(), &mut gone).enter_call(),
                    is_exclusive: Some(true),
                },
                None => Taken {
                    session: sessions.shared.get_or_insert_with(make).clone().enter_call(),
                    is_exclusive: Some(false),
                },
            }
        };
        drop(kept);
        self.end(gone);
        taken
    }

    /// Ends an idle session, unless it is its caller's main one.
    pub(crate) fn unused(&self, session: &Weak<UpstreamSession>) {
        if let Some(session) = session.upgrade() {
            let mut kept = self.lock();
            let gone = if session.is_idle() && !session.is_pinned() {
                remove(&mut kept, &session, true)
            } else {
                None
            };
            drop((kept, session));
            self.end(gone);
        }
    }

    /// Removes a session. With `but_first`, a caller's main one is kept.
    pub(crate) fn let_go(&self, session: &Arc<UpstreamSession>, but_first: bool) {
        let gone = remove(&mut self.lock(), session, but_first);
        self.end(gone);
    }

    /// Reserves a session with a call that was left, or that has become a task: no other call uses it, and it is ended
    /// when the call cannot be resumed any more. If it has a task, only its server ends it.
    pub(crate) fn reserve(&self, session: SessionUse) {
        let taken = take_out(&mut self.lock(), &session, false);
        if let Some((key, at, session)) = taken {
            let until = Instant::now() + self.http.timeouts().state;
            self.reserved().push_back(ReservedSession {
                session,
                key,
                is_first: at == Some(0),
                until,
            });
        }
        let gone = self.give_up();
        self.end(gone);
    }

    /// Returns the session with this id, whose call is resumed here, to its caller.
    pub(crate) fn take_back(&self, id: &str) -> Option<(SessionUse, Arc<OpenSession>)> {
        let mut reserved = self.reserved();
        let at = reserved
            .iter()
            .position(|reserved| reserved.session.open_as(id).is_some())?;
        let ReservedSession {
            session, key, is_first, ..
        } = reserved.remove(at)?;
        drop(reserved);
        let open = session.open_as(id)?;
        let mut kept = self.lock();
        let own = &mut kept.entry(key).or_default().own;
        own.insert(if is_first { 0 } else { own.len() }, session.clone());
        Some((session.enter_call(), open))
    }

    fn end(&self, gone: impl IntoIterator<Item = Arc<UpstreamSession>>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        for session in gone.into_iter().filter(|session| !session.is_pinned()) {
            self.http
                .tasks()
                .spawn_on(async move { session.close().await }, &runtime);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, CallerSessions>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the sessions whose calls cannot be resumed any more, and the oldest beyond the limit.
    fn give_up(&self) -> Vec<Arc<UpstreamSession>> {
        let mut reserved = self.reserved();
        let now = Instant::now();
        let mut gone = Vec::new();
        while reserved.len() > POOL || reserved.front().is_some_and(|first| first.until <= now) {
            gone.extend(reserved.pop_front().map(|first| first.session));
        }
        gone
    }

    fn reserved(&self) -> MutexGuard<'_, VecDeque<ReservedSession>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a session. A full pool drops an idle one; if none is idle, it grows by one.
fn add(
    kept: &mut HashMap<Key, CallerSessions>,
    key: Key,
    session: Arc<UpstreamSession>,
    gone: &mut Vec<Arc<UpstreamSession>>,
) -> Arc<UpstreamSession> {
    if kept.values().map(|sessions| sessions.own.len()).sum::<usize>() >= POOL {
        let idle = kept
            .values()
            .flat_map(|sessions| &sessions.own)
            .find(|session| session.is_idle())
            .cloned();
        if let Some(idle) = idle {
            gone.extend(remove(kept, &idle, false));
        }
    }
    kept.entry(key).or_default().own.push(session.clone());
    session
}

fn remove(
    kept: &mut HashMap<Key, CallerSessions>,
    session: &Arc<UpstreamSession>,
    but_first: bool,
) -> Option<Arc<UpstreamSession>> {
    take_out(kept, session, but_first).map(|(_, _, session)| session)
}

/// Removes a session, and returns its key and position.
fn take_out(
    kept: &mut HashMap<Key, CallerSessions>,
    session: &Arc<UpstreamSession>,
    but_first: bool,
) -> Option<(Key, Option<usize>, Arc<UpstreamSession>)> {
    let is_it = |other: &Arc<UpstreamSession>| Arc::ptr_eq(other, session);
    let (key, sessions) = kept
        .iter_mut()
        .find(|(_, sessions)| sessions.own.iter().any(is_it) || sessions.shared.as_ref().is_some_and(is_it))?;
    let key = key.clone();
    let at = sessions.own.iter().position(is_it);
    let removed = match at {
        Some(0) if but_first => None,
        Some(at) => Some(sessions.own.remove(at)),
        None => sessions.shared.take(),
    };
    if sessions.own.is_empty() && sessions.shared.is_none() {
        kept.remove(&key);
    }
    Some((key, at, removed?))
}
