//! The tasks created by the calls of one legacy session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_core::ServerName;

use super::{Session, Sessions, State};

/// The maximum number of listed tasks of one session. Beyond it the oldest are no longer listed, but still found by
/// their ids.
pub(crate) const MAX_LISTED: usize = 256;

/// The tasks of a session, as known to this replica.
#[derive(Debug, Default)]
pub(crate) struct SessionTasks(Mutex<KnownTasks>);

#[derive(Debug, Default)]
struct KnownTasks {
    /// The ids the client knows, in the order of creation on any replica.
    all: Vec<Arc<str>>,
    /// Ids that may not be stored yet.
    unstored: Vec<Arc<str>>,
    /// The tasks created through this replica, by server and the server's id.
    local: HashMap<(ServerName, Box<str>), Arc<str>>,
}

/// Records the tasks that one server creates for the calls of a session.
#[derive(Clone, Debug)]
pub(crate) struct TaskRecorder {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    server: ServerName,
}

impl SessionTasks {
    /// Returns the ids the client knows.
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.lock().all.clone()
    }

    /// Applies the stored list.
    pub(crate) fn set(&self, all: Vec<Arc<str>>) {
        let mut state = self.lock();
        state.all = all;
        let KnownTasks { all, unstored, .. } = &mut *state;
        unstored.retain(|id| !all.contains(id));
        unstored.iter().for_each(|id| push(all, id));
    }

    /// Returns the client's id of a task created through this replica.
    pub(crate) fn client_id(&self, server: &ServerName, own: &str) -> Option<Arc<str>> {
        self.lock().local.get(&(server.clone(), own.into())).cloned()
    }

    /// Returns the server's id of a task created through this replica.
    pub(crate) fn server_id(&self, server: &ServerName, id: &str) -> Option<String> {
        let state = self.lock();
        let found = state
            .local
            .iter()
            .find(|((of, _), state)| of == server && &***state == id);
        found.map(|((_, own), _)| own.to_string())
    }

    fn record(&self, server: &ServerName, own: &str, id: &Arc<str>) {
        let mut state = self.lock();
        push(&mut state.all, id);
        push(&mut state.unstored, id);
        let all = std::mem::take(&mut state.all);
        state.local.insert((server.clone(), own.into()), id.clone());
        state.local.retain(|_, id| all.contains(id));
        state.all = all;
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

    /// Records a task: here at once, on all replicas shortly after.
    pub(crate) fn record(&self, own: &str, id: &str) {
        let id: Arc<str> = id.into();
        self.session.tasks.record(&self.server, own, &id);
        let (sessions, session) = (self.sessions.clone(), self.session.clone());
        self.sessions.background().spawn(async move {
            let change = |state: &mut State| {
                let is_new = !state.tasks.contains(&id);
                if is_new {
                    push(&mut state.tasks, &id);
                }
                is_new
            };
            if let Err(error) = sessions.change(&session, change).await {
                tracing::warn!(%error, "a new task cannot be stored; other replicas do not list it");
            }
        });
    }
}

fn push(all: &mut Vec<Arc<str>>, id: &Arc<str>) {
    if all.contains(id) {
        return;
    }
    let surplus = (all.len() + 1).saturating_sub(MAX_LISTED);
    all.drain(..surplus);
    all.push(id.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_tasks_are_listed() {
        let session_tasks = SessionTasks::default();
        let server = ServerName::parse("up").expect("a name");
        for at in 0..MAX_LISTED + 2 {
            session_tasks.record(&server, &format!("own-{at}"), &format!("id-{at}").into());
        }
        let all = session_tasks.all();
        assert_eq!((all.len(), &*all[0]), (MAX_LISTED, "id-2"));
        // A stored list does not remove tasks just created here.
        session_tasks.set(Vec::new());
        assert_eq!(session_tasks.all().len(), MAX_LISTED);
        session_tasks.set(session_tasks.all());
        session_tasks.set(Vec::new());
        assert!(session_tasks.all().is_empty());
        assert_eq!(session_tasks.client_id(&server, "own-1"), None);
        assert_eq!(session_tasks.server_id(&server, "id-5").as_deref(), Some("own-5"));
    }
}
