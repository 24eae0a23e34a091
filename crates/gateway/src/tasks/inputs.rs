//! Server requests of the tasks of legacy servers.
//!
//! A legacy server sends each request once, on whichever `tasks/result` receives it. So while a modern client polls a
//! task that waits for input, one replica keeps the stream of a `tasks/result` open and stores each request in the
//! session store, where every replica finds it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use portolan_client::{
    MAX_SERVER_REQUESTS, Reply, Requester, ServerRequest, ServerRequestKey, Step, UpstreamRequest, modern_params,
    request, tasks,
};
use portolan_core::{Clock, Error, Precondition, Result, SessionStore, Subject};
use portolan_wire::{
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{legacy::LegacyTask, query::TaskRef};
use crate::config::GatewayConfig;

/// How long to wait for the first request.
const FIRST_REQUEST_WAIT: Duration = Duration::from_millis(500);
/// How long the requests of a task are stored.
const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// The maximum number of attempts while others change the same entry.
const TRIES: usize = 16;

/// The tasks whose requests this replica receives.
#[derive(Debug)]
pub(crate) struct TaskInputs {
    streams: Mutex<HashMap<String, TaskStream>>,
    limit: usize,
    caller_limit: usize,
    idle_limit: Duration,
    gather: Duration,
    store: InputStore,
}

/// The requests of tasks, stored for all replicas.
#[derive(Clone, Debug)]
struct InputStore {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
}

/// The stream of one `tasks/result`.
#[derive(Debug)]
struct TaskStream {
    of: Subject,
    stream: AbortOnDropHandle<()>,
    /// When its client last polled.
    last_poll: Arc<Mutex<Instant>>,
    /// Signals a new request.
    new_request: Arc<Notify>,
}

impl TaskInputs {
    pub(crate) fn new(config: &GatewayConfig, store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            streams: Mutex::default(),
            limit: config.limits.suspended,
            caller_limit: config.limits.suspended_per_caller,
            idle_limit: config.timeouts.server_request,
            gather: config.timeouts.gather,
            store: InputStore { store, clock },
        }
    }

    /// Returns the open requests of a task as an object by keys, and starts receiving new ones.
    pub(super) async fn open(&self, task_ref: &TaskRef, legacy: &LegacyTask) -> Result<RawObject> {
        let key = key(task_ref, legacy);
        let new_request = self.listen(&key, task_ref, legacy)?;
        let stored = self.store.read(&key).await?;
        if !stored.is_empty() {
            return Ok(as_input_requests(&stored));
        }
        let first = new_request.notified();
        if tokio::time::timeout(FIRST_REQUEST_WAIT, first).await.is_ok() {
            tokio::time::sleep(self.gather).await;
        }
        Ok(as_input_requests(&self.store.read(&key).await?))
    }

    /// Removes a request, and returns the server's id of it.
    pub(super) async fn take(&self, task_ref: &TaskRef, legacy: &LegacyTask, name: &str) -> Result<Option<RequestId>> {
        let mut removed = None;
        let key = key(task_ref, legacy);
        self.store
            .change(&key, |open| {
                removed = open.remove(name);
                removed.is_some()
            })
            .await?;
        let server_request = removed.and_then(|raw| RawObject::parse(&raw).ok());
        Ok(server_request.and_then(|server_request| RequestId::parse(server_request.get("id")?).ok()))
    }

    fn listen(&self, key: &str, task_ref: &TaskRef, legacy: &LegacyTask) -> Result<Arc<Notify>> {
        let mut streams = self.lock();
        streams.retain(|_, task_stream| !task_stream.stream.is_finished());
        if let Some(task_stream) = streams.get(key) {
            *lock(&task_stream.last_poll) = Instant::now();
            return Ok(task_stream.new_request.clone());
        }
        let of_caller = streams
            .values()
            .filter(|task_stream| task_stream.of == legacy.caller.subject)
            .count();
        if streams.len() >= self.limit || of_caller >= self.caller_limit {
            return Err(Error::Exhausted {
                what: "tasks that wait for input",
                limit: self.limit.min(self.caller_limit),
            });
        }
        let (last_poll, new_request) = (Arc::new(Mutex::new(Instant::now())), Arc::<Notify>::default());
        let work = listen(
            (key.to_owned(), self.store.clone()),
            task_ref.clone(),
            legacy.clone(),
            self.idle_limit,
            last_poll.clone(),
            new_request.clone(),
        );
        let task_stream = TaskStream {
            of: legacy.caller.subject.clone(),
            stream: AbortOnDropHandle::new(tokio::spawn(work)),
            last_poll,
            new_request: new_request.clone(),
        };
        streams.insert(key.to_owned(), task_stream);
        Ok(new_request)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, TaskStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores each request of a task until the task ends, or its client stops polling.
async fn listen(
    (key, store): (String, InputStore),
    task_ref: TaskRef,
    legacy: LegacyTask,
    idle_limit: Duration,
    last_poll: Arc<Mutex<Instant>>,
    new_request: Arc<Notify>,
) {
    let mut params = RawObject::new();
    params.set("taskId", object::quote(&task_ref.id));
    let request = UpstreamRequest {
        requester: Requester::Modern {
            caller: &legacy.caller,
            endpoint: legacy.gateway.as_str(),
            log: None,
        },
        id: &RequestId::from_u64(1),
        method: &Method::TasksResult,
        params: &params,
        declared: None,
        capabilities: legacy.capabilities,
        odd_output: false,
        uris: None,
        tasks: task_ref.ids.as_ref(),
        mirrored: &[],
        credential: &task_ref.credential,
        passthrough: &task_ref.passthrough,
    };
    let Ok(Reply::Events(mut events)) = task_ref.server.call(&request).await else {
        return;
    };
    loop {
        let end = *lock(&last_poll) + idle_limit;
        tokio::select! {
            step = events.step() => match step {
                Some(Ok(Step::ServerRequest(server_request))) => {
                    if let Err(error) = store_request(&store, &key, &server_request).await {
                        tracing::warn!(%error, "a request of a task cannot be stored");
                    }
                    new_request.notify_one();
                }
                Some(Ok(Step::Frame(_))) => {}
                _ => return,
            },
            () = tokio::time::sleep_until(end) => {
                if *lock(&last_poll) + idle_limit <= Instant::now() {
                    return;
                }
            }
        }
    }
}

async fn store_request(store: &InputStore, key: &str, server_request: &ServerRequest) -> Result<()> {
    let ServerRequestKey::Id(id) = &server_request.key else {
        return Ok(());
    };
    let params = modern_params(&server_request.method, server_request.params.as_ref());
    let params = params.map(|params| tasks::without_related(&params).unwrap_or(params));
    let mut stored = RawObject::new();
    stored.set("id", id.to_bytes());
    stored.set("request", request(&server_request.method, params.as_ref()));
    // Request ids are unique in their session, and so during the life of a task.
    let raw = id.to_bytes();
    let text = object::text(&raw).map_or_else(|| String::from_utf8_lossy(&raw).into_owned(), |text| text.into_owned());
    let add = |open: &mut RawObject| {
        let has_room = open.len() < MAX_SERVER_REQUESTS;
        if has_room {
            open.set(&format!("q{text}"), stored.to_bytes());
        }
        has_room
    };
    store.change(key, add).await
}

/// Returns the stored requests in the form of `inputRequests`.
fn as_input_requests(open: &RawObject) -> RawObject {
    let mut requests = RawObject::new();
    for (name, raw) in open.iter() {
        let server_request = RawObject::parse(raw).ok();
        if let Some(request) = server_request
            .as_ref()
            .and_then(|server_request| server_request.get("request"))
        {
            requests.set(&name, request.clone());
        }
    }
    requests
}

impl InputStore {
    async fn read(&self, key: &str) -> Result<RawObject> {
        let stored = self.store.get(key, self.clock.now()).await?;
        Ok(stored
            .and_then(|entry| RawObject::parse(&entry.value).ok())
            .unwrap_or_default())
    }

    /// Changes the stored requests of a task. `change` is called again after a conflict, and returns whether there is
    /// something to write.
    async fn change(&self, key: &str, mut change: impl FnMut(&mut RawObject) -> bool) -> Result<()> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let stored = self.store.get(key, now).await?;
            let precondition = stored
                .as_ref()
                .map_or(Precondition::Absent, |stored| Precondition::Version(stored.version));
            let mut open = stored
                .and_then(|entry| RawObject::parse(&entry.value).ok())
                .unwrap_or_default();
            if !change(&mut open) {
                return Ok(());
            }
            let expires = now.checked_add(RETENTION).unwrap_or(now);
            match self.store.put(key, open.to_bytes(), expires, now, precondition).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("task", "with many changes at once"))
    }
}

/// Returns the store key of the requests of a task: a hash, which reveals nothing of it.
fn key(task_ref: &TaskRef, legacy: &LegacyTask) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [
        task_ref.server.spec().name.as_str(),
        legacy.session_ref.session.as_deref().unwrap_or_default(),
        &task_ref.id,
        legacy.gateway.as_str(),
        &legacy.caller.subject.to_string(),
    ] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    let digits = hash.finish().as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!("task/{digits}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
