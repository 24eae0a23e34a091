//! The sessions at a legacy server in which calls are made.
//!
//! A legacy client's belongs to its own session. Modern callers have none: each has one here for each credential, and for
//! what the server was told that it can be asked. Calls in which the server may ask something are made there one at a time
//! where the server has a stream beside its calls; further ones at the same time have sessions beside it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use portolan_core::{Subject, UpstreamCredential, Version};
use tokio::time::Instant;

use crate::{
    capabilities::ClientCapabilities,
    http_server::{HttpServer, open_session::OpenSession},
    session::{SessionUse, UpstreamSession},
};

/// Sessions that are kept for modern callers of a legacy server.
const POOL: usize = 1024;

/// Whose sessions: the caller, its credential, and what the server was told that it can be asked.
type Key = (Option<Subject>, Option<Version>, ClientCapabilities);

/// The sessions of modern callers.
#[derive(Debug)]
pub(crate) struct SessionPool {
    http: Arc<HttpServer>,
    kept: Mutex<HashMap<Key, CallerSessions>>,
    /// In which a call was left; the longest first.
    reserved: Mutex<VecDeque<ReservedSession>>,
}

/// Those of one key.
#[derive(Debug, Default)]
struct CallerSessions {
    /// The first is the caller's one; calls that must not share it have the others.
    own: Vec<Arc<UpstreamSession>>,
    /// Where all are that have found no place there.
    shared: Option<Arc<UpstreamSession>>,
}

/// A session in which a call was left.
#[derive(Debug)]
struct ReservedSession {
    session: Arc<UpstreamSession>,
    /// Where it comes back to.
    key: Key,
    is_first: bool,
    /// When it is given up.
    until: Instant,
}

/// A session for a call.
pub(crate) struct Taken {
    pub(crate) session: SessionUse,
    /// Whether it is to be heard what is said beside the call; with it, whether the call has the session for itself.
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

    /// The session for a call of `subject`, or of nobody in particular.
    pub(crate) fn take(
        &self,
        subject: Option<Subject>,
        credential: &Arc<UpstreamCredential>,
        capabilities: ClientCapabilities,
    ) -> Taken {
        let make = || Arc::new(UpstreamSession::new(&self.http, credential.clone()));
        // What the gateway wants to know itself has nobody who could be asked.
        let listens = subject.is_some() && !capabilities.is_none() && !self.http.has_no_get_stream();
        let key = (subject, credential.version, capabilities);
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

    /// A session that nobody has used for a while is ended, unless it is its caller's one.
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

    /// A session is used no more. With `but_first`, a caller's one is kept.
    pub(crate) fn let_go(&self, session: &Arc<UpstreamSession>, but_first: bool) {
        let gone = remove(&mut self.lock(), session, but_first);
        self.end(gone);
    }

    /// A session in which a call was left for whoever takes it up again, or has become a task: nobody else may use it, and
    /// it is ended when the call cannot be brought back any more. What has become a task, only its server ends.
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

    /// The session with this id, in which a call was left that is taken up again here. It is its caller's again.
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

    /// Those whose calls cannot be brought back any more, and the longest left above the limit.
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

/// Adds a session. One that no call is using goes when there are too many; a pool that is in use all over grows by one.
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

/// Takes a session out, and says where it was.
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
