//! What tasks of legacy servers want to know.
//!
//! A legacy server sends each question once, on whichever `tasks/result` takes it. So while a modern client looks after a
//! task that waits for input, the stream of a `tasks/result` is kept open in the replica that it asks, and each question is
//! noted in the session store, where every replica finds it.

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

/// How long the first question is waited for.
const FIRST: Duration = Duration::from_millis(500);
/// How long questions of a task are kept for its client.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often a change is tried while others change the same.
const TRIES: usize = 16;

/// The tasks that are listened to in this replica.
#[derive(Debug)]
pub(crate) struct TaskInputs {
    streams: Mutex<HashMap<String, Listening>>,
    most: usize,
    most_of_one: usize,
    good_for: Duration,
    gather: Duration,
    store: InputStore,
}

/// Where the questions of tasks are kept for all replicas.
#[derive(Clone, Debug)]
struct InputStore {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
}

/// The stream of one `tasks/result`.
#[derive(Debug)]
struct Listening {
    of: Subject,
    stream: AbortOnDropHandle<()>,
    /// When its client was here last.
    looked: Arc<Mutex<Instant>>,
    /// That a question has come.
    news: Arc<Notify>,
}

impl TaskInputs {
    pub(crate) fn new(config: &GatewayConfig, store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            streams: Mutex::default(),
            most: config.limits.suspended,
            most_of_one: config.limits.suspended_per_caller,
            good_for: config.timeouts.server_request,
            gather: config.timeouts.gather,
            store: InputStore { store, clock },
        }
    }

    /// What a task wants to know, as an object by keys. New questions are heard from now on.
    pub(super) async fn open(&self, task_ref: &TaskRef, legacy: &LegacyTask) -> Result<RawObject> {
        let key = key(task_ref, legacy);
        let news = self.listen(&key, task_ref, legacy)?;
        let known = self.store.read(&key).await?;
        if !known.is_empty() {
            return Ok(shown(&known));
        }
        let first = news.notified();
        if tokio::time::timeout(FIRST, first).await.is_ok() {
            tokio::time::sleep(self.gather).await;
        }
        Ok(shown(&self.store.read(&key).await?))
    }

    /// Takes a question out, and gives the server's id of it.
    pub(super) async fn take(&self, task_ref: &TaskRef, legacy: &LegacyTask, name: &str) -> Result<Option<RequestId>> {
        let mut taken = None;
        let key = key(task_ref, legacy);
        self.store
            .change(&key, |open| {
                taken = open.remove(name);
                taken.is_some()
            })
            .await?;
        let server_request = taken.and_then(|raw| RawObject::parse(&raw).ok());
        Ok(server_request.and_then(|server_request| RequestId::parse(server_request.get("id")?).ok()))
    }

    fn listen(&self, key: &str, task_ref: &TaskRef, legacy: &LegacyTask) -> Result<Arc<Notify>> {
        let mut streams = self.lock();
        streams.retain(|_, listening| !listening.stream.is_finished());
        if let Some(listening) = streams.get(key) {
            *lock(&listening.looked) = Instant::now();
            return Ok(listening.news.clone());
        }
        let his = streams
            .values()
            .filter(|listening| listening.of == legacy.caller.subject)
            .count();
        if streams.len() >= self.most || his >= self.most_of_one {
            return Err(Error::Exhausted {
                what: "tasks that wait for input",
                limit: self.most.min(self.most_of_one),
            });
        }
        let (looked, news) = (Arc::new(Mutex::new(Instant::now())), Arc::<Notify>::default());
        let work = listen(
            (key.to_owned(), self.store.clone()),
            task_ref.clone(),
            legacy.clone(),
            self.good_for,
            looked.clone(),
            news.clone(),
        );
        let listening = Listening {
            of: legacy.caller.subject.clone(),
            stream: AbortOnDropHandle::new(tokio::spawn(work)),
            looked,
            news: news.clone(),
        };
        streams.insert(key.to_owned(), listening);
        Ok(news)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listening>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes each question of a task until it is over, or its client does not come any more.
async fn listen(
    (key, store): (String, InputStore),
    task_ref: TaskRef,
    legacy: LegacyTask,
    good_for: Duration,
    looked: Arc<Mutex<Instant>>,
    news: Arc<Notify>,
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
        unchanged: None,
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
        let end = *lock(&looked) + good_for;
        tokio::select! {
            step = events.step() => match step {
                Some(Ok(Step::ServerRequest(server_request))) => {
                    if let Err(error) = note(&store, &key, &server_request).await {
                        tracing::warn!(%error, "what a task wants to know cannot be kept");
                    }
                    news.notify_one();
                }
                Some(Ok(Step::Frame(_))) => {}
                _ => return,
            },
            () = tokio::time::sleep_until(end) => {
                if *lock(&looked) + good_for <= Instant::now() {
                    return;
                }
            }
        }
    }
}

async fn note(store: &InputStore, key: &str, server_request: &ServerRequest) -> Result<()> {
    let ServerRequestKey::Id(id) = &server_request.key else {
        return Ok(());
    };
    let params = modern_params(&server_request.method, server_request.params.as_ref());
    let params = params.map(|params| tasks::without_related(&params).unwrap_or(params));
    let mut kept = RawObject::new();
    kept.set("id", id.to_bytes());
    kept.set("request", request(&server_request.method, params.as_ref()));
    // Ids of requests are unique in their session, and so in the life of a task.
    let raw = id.to_bytes();
    let text = object::text(&raw).map_or_else(|| String::from_utf8_lossy(&raw).into_owned(), |text| text.into_owned());
    let keep = |open: &mut RawObject| {
        let is_news = open.len() < MAX_SERVER_REQUESTS;
        if is_news {
            open.set(&format!("q{text}"), kept.to_bytes());
        }
        is_news
    };
    store.change(key, keep).await
}

/// Each question as it stands in `inputRequests`.
fn shown(open: &RawObject) -> RawObject {
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
        let kept = self.store.get(key, self.clock.now()).await?;
        Ok(kept
            .and_then(|kept| RawObject::parse(&kept.value).ok())
            .unwrap_or_default())
    }

    /// Changes what is kept of a task; `by` may be called again, and says whether there is something to write.
    async fn change(&self, key: &str, mut by: impl FnMut(&mut RawObject) -> bool) -> Result<()> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let kept = self.store.get(key, now).await?;
            let when = kept
                .as_ref()
                .map_or(Precondition::Absent, |kept| Precondition::Version(kept.version));
            let mut open = kept
                .and_then(|kept| RawObject::parse(&kept.value).ok())
                .unwrap_or_default();
            if !by(&mut open) {
                return Ok(());
            }
            let expires = now.checked_add(KEPT).unwrap_or(now);
            match self.store.put(key, open.to_bytes(), expires, now, when).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("task", "with many changes at once"))
    }
}

/// Where the questions of a task are kept: a name that tells nothing of it.
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
