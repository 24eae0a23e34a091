//! The tasks that calls of one legacy session have become.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_core::ServerName;

use super::{Session, Sessions, State};

/// Tasks of one session that are remembered. Past it, the oldest are listed no more; they are found by their ids all the
/// same.
pub(crate) const MOST: usize = 256;

/// What a replica knows of them.
#[derive(Debug, Default)]
pub(crate) struct SessionTasks(Mutex<KnownTasks>);

#[derive(Debug, Default)]
struct KnownTasks {
    /// As the client knows them, in the order in which they were begun, on whichever replica.
    all: Vec<Arc<str>>,
    /// Those that may not be kept for all replicas yet.
    unkept: Vec<Arc<str>>,
    /// Those that were begun here, by server and its own id.
    here: HashMap<(ServerName, Box<str>), Arc<str>>,
}

/// Notes the tasks that one server makes of the calls of a session.
#[derive(Clone, Debug)]
pub(crate) struct TaskRecorder {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    server: ServerName,
}

impl SessionTasks {
    /// All, as the client knows them.
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.lock().all.clone()
    }

    /// Takes over what is kept for all replicas.
    pub(crate) fn set(&self, all: Vec<Arc<str>>) {
        let mut known = self.lock();
        known.all = all;
        let KnownTasks { all, unkept, .. } = &mut *known;
        unkept.retain(|id| !all.contains(id));
        unkept.iter().for_each(|id| push(all, id));
    }

    /// What the client calls a task of a server that was begun here.
    pub(crate) fn id_of(&self, server: &ServerName, own: &str) -> Option<Arc<str>> {
        self.lock().here.get(&(server.clone(), own.into())).cloned()
    }

    /// The server's own id of a task that was begun here.
    pub(crate) fn own_of(&self, server: &ServerName, id: &str) -> Option<String> {
        let known = self.lock();
        let found = known
            .here
            .iter()
            .find(|((of, _), known)| of == server && &***known == id);
        found.map(|((_, own), _)| own.to_string())
    }

    fn note(&self, server: &ServerName, own: &str, id: &Arc<str>) {
        let mut known = self.lock();
        push(&mut known.all, id);
        push(&mut known.unkept, id);
        let all = std::mem::take(&mut known.all);
        known.here.insert((server.clone(), own.into()), id.clone());
        known.here.retain(|_, id| all.contains(id));
        known.all = all;
    }

    fn lock(&self) -> MutexGuard<'_, KnownTasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskRecorder {
    pub(crate) fn new(sessions: &Arc<Sessions>, session: &Arc<Session>, server: &ServerName) -> Self {
        Self {
            sessions: sessions.clone(),
            session: session.clone(),
            server: server.clone(),
        }
    }

    /// Notes a task, here at once and soon on all replicas.
    pub(crate) fn note(&self, own: &str, id: &str) {
        let id: Arc<str> = id.into();
        self.session.tasks.note(&self.server, own, &id);
        let (sessions, session) = (self.sessions.clone(), self.session.clone());
        self.sessions.background().spawn(async move {
            let change = |state: &mut State| {
                let is_news = !state.tasks.contains(&id);
                if is_news {
                    push(&mut state.tasks, &id);
                }
                is_news
            };
            if let Err(error) = sessions.change(&session, change).await {
                tracing::warn!(%error, "a task will not be listed everywhere");
            }
        });
    }
}

fn push(all: &mut Vec<Arc<str>>, id: &Arc<str>) {
    if all.contains(id) {
        return;
    }
    let surplus = (all.len() + 1).saturating_sub(MOST);
    all.drain(..surplus);
    all.push(id.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let session_tasks = SessionTasks::default();
        let server = ServerName::parse("up").expect("a name");
        for at in 0..MOST + 2 {
            session_tasks.note(&server, &format!("own-{at}"), &format!("id-{at}").into());
        }
        let all = session_tasks.all();
        assert_eq!((all.len(), &*all[0]), (MOST, "id-2"));
        // What others keep does not take away what was just begun here.
        session_tasks.set(Vec::new());
        assert_eq!(session_tasks.all().len(), MOST);
        session_tasks.set(session_tasks.all());
        session_tasks.set(Vec::new());
        assert!(session_tasks.all().is_empty());
        assert_eq!(session_tasks.id_of(&server, "own-1"), None);
        assert_eq!(session_tasks.own_of(&server, "id-5").as_deref(), Some("own-5"));
    }
}
