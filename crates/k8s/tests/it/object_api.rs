//! A fake API server that keeps Secrets and Leases, with planned faults.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::{Client, client::Body};
use portolan_k8s::{KubeCredentials, KubeCredentialsConfig};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A deviation from what a healthy server does.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The request is refused with this code and message, and not applied.
    Refuse(u16, String),
    /// The request is applied, and answered with this code.
    ApplyThenRefuse(u16),
    /// The request is applied, and the connection breaks.
    ApplyThenBreak,
    /// The request is applied, and the connection breaks when the test says so.
    ApplyThenBreakAt(Arc<Notify>),
    /// The request is not applied, and the connection breaks.
    Break,
    /// The request is not applied, and nothing is answered.
    Hang,
    /// Another program adds a label to the object first.
    EditBefore,
}

/// The faults of requests.
struct Rule {
    method: Method,
    /// A part of the path.
    path: &'static str,
    /// How often it applies; `None` is always.
    times: Option<usize>,
    fault: Fault,
}

type Id = (String, String);

#[derive(Default)]
struct State {
    /// By kind and name.
    objects: BTreeMap<Id, Value>,
    revision: u64,
    rules: VecDeque<Rule>,
    /// Chooses faults at random, when it is not zero.
    chaos: u64,
    calls: Vec<String>,
}

/// The server.
#[derive(Default)]
pub(crate) struct ObjectApi(Mutex<State>);

type Answered = Response<Full<bytes::Bytes>>;

impl ObjectApi {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Answers requests with `method` whose path contains `path` with a fault.
    pub(crate) fn plan(&self, method: Method, path: &'static str, times: impl Into<Option<usize>>, fault: Fault) {
        self.state().rules.push_back(Rule {
            method,
            path,
            times: times.into(),
            fault,
        });
    }

    /// Ends all planned faults.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.chaos = 0;
    }

    /// Lets two of five writes fail, and one of ten reads, in an order that `seed` determines.
    pub(crate) fn chaos(&self, seed: u64) {
        self.state().chaos = seed;
    }

    /// Returns the requests that begin with `begin`, as `METHOD path`.
    pub(crate) fn calls(&self, begin: &str) -> Vec<String> {
        let state = self.state();
        state
            .calls
            .iter()
            .filter(|call| call.starts_with(begin))
            .cloned()
            .collect()
    }

    /// Returns all objects of a kind, such as `secrets`.
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let state = self.state();
        let of_kind = state.objects.iter().filter(|((of, _), _)| of == kind);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// Changes all objects of a kind, as another program does.
    pub(crate) fn edit(&self, kind: &str, change: impl Fn(&mut Value)) {
        let mut state = self.state();
        let revision = state.next_revision();
        for ((of, _), object) in &mut state.objects {
            if of == kind {
                change(object);
                object["metadata"]["resourceVersion"] = json!(revision);
            }
        }
    }

    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { api.serve(request).await }
        });
        Client::new(service, "mcp-credentials")
    }

    /// Creates a store over it.
    pub(crate) fn store(self: &Arc<Self>) -> KubeCredentials {
        self.store_with(|config| config)
    }

    /// Creates a store with a changed configuration.
    pub(crate) fn store_with(
        self: &Arc<Self>,
        change: impl FnOnce(KubeCredentialsConfig) -> KubeCredentialsConfig,
    ) -> KubeCredentials {
        let config = KubeCredentialsConfig::in_namespace("mcp-credentials").with_deadline(Duration::from_secs(4));
        KubeCredentials::new(self.client(), change(config)).expect("a configuration")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    async fn serve(&self, request: Request<Body>) -> Result<Answered, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (path, query) = (
            head.uri.path().to_owned(),
            head.uri.query().unwrap_or_default().to_owned(),
        );
        // Others may be served first.
        tokio::task::yield_now().await;
        let fault = {
            let mut state = self.state();
            state.calls.push(format!("{} {path}", head.method));
            state.fault(&head.method, &path)
        };
        let refused = |code, message: &str| Ok(reply(code, &json!({ "message": message })));
        let answer = |state: &mut State| state.answer(&head.method, &path, &query, &body);
        match fault {
            None => Ok(answer(&mut self.state())),
            Some(Fault::Refuse(code, message)) => refused(code, &message),
            Some(Fault::Break) => Err(std::io::Error::other("connection reset by peer")),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::ApplyThenRefuse(code)) => {
                answer(&mut self.state());
                refused(code, "etcdserver: request timed out")
            }
            Some(Fault::ApplyThenBreak) => {
                answer(&mut self.state());
                Err(std::io::Error::other("connection reset by peer"))
            }
            Some(Fault::ApplyThenBreakAt(when)) => {
                answer(&mut self.state());
                when.notified().await;
                Err(std::io::Error::other("connection reset by peer"))
            }
            Some(Fault::EditBefore) => {
                self.edit("secrets", |object| {
                    object["metadata"]["labels"]["other"] = json!("program")
                });
                Ok(answer(&mut self.state()))
            }
        }
    }
}

impl State {
    fn next_revision(&mut self) -> String {
        self.revision += 1;
        self.revision.to_string()
    }

    fn fault(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let fits = |rule: &Rule| rule.method == *method && path.contains(rule.path) && rule.times != Some(0);
        if let Some(rule) = self.rules.iter_mut().find(|rule| fits(rule)) {
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
            return Some(rule.fault.clone());
        }
        if self.chaos == 0 {
            return None;
        }
        // xorshift
        self.chaos ^= self.chaos << 13;
        self.chaos ^= self.chaos >> 7;
        self.chaos ^= self.chaos << 17;
        match (self.chaos % 10, *method == Method::GET) {
            (0, _) => Some(Fault::Refuse(500, "internal error".into())),
            (1, false) => Some(Fault::ApplyThenRefuse(504)),
            (2, false) => Some(Fault::ApplyThenBreak),
            (3, false) => Some(Fault::Break),
            _ => None,
        }
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, body: &Value) -> Answered {
        let parts: Vec<_> = path.rsplit('/').collect();
        let is_kind = |text: &str| matches!(text, "secrets" | "leases");
        let (kind, name) = match parts[..] {
            [kind, ..] if is_kind(kind) => (kind, None),
            [name, kind, ..] if is_kind(kind) => (kind, Some(name)),
            _ => return reply(404, &json!({ "message": "no such path" })),
        };
        let id = |name: &str| (kind.to_owned(), name.to_owned());
        match (method, name) {
            (&Method::GET, None) => self.list(kind, query),
            (&Method::GET, Some(name)) => match self.objects.get(&id(name)) {
                Some(object) => reply(200, object),
                None => missing(name),
            },
            (&Method::POST, _) => {
                let name = body["metadata"]["name"].as_str().expect("a name");
                if self.objects.contains_key(&id(name)) {
                    return reply(409, &json!({ "reason": "AlreadyExists", "message": "already exists" }));
                }
                let mut object = body.clone();
                object["metadata"]["uid"] = json!(self.next_revision());
                self.store(id(name), object)
            }
            (&Method::PUT, Some(name)) => match self.objects.get(&id(name)) {
                None => missing(name),
                Some(found) if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => changed(),
                Some(_) => self.store(id(name), body.clone()),
            },
            (&Method::DELETE, Some(name)) => self.delete(&id(name), &body["preconditions"]),
            other => panic!("the store sends no {other:?}"),
        }
    }

    fn store(&mut self, id: Id, mut object: Value) -> Answered {
        let entries = object["data"].as_object().into_iter().flatten();
        let size: usize = entries
            .map(|(_, text)| text.as_str().map_or(0, |text| text.len() / 4 * 3))
            .sum();
        if size > (1 << 20) + 4 {
            return reply(422, &json!({ "reason": "Invalid", "message": "data: Too long" }));
        }
        object["metadata"]["resourceVersion"] = json!(self.next_revision());
        let answer = reply(200, &object);
        self.objects.insert(id, object);
        answer
    }

    fn delete(&mut self, id: &Id, preconditions: &Value) -> Answered {
        let Some(found) = self.objects.get(id) else {
            return missing(&id.1);
        };
        let holds = |field: &str| preconditions[field].is_null() || preconditions[field] == found["metadata"][field];
        if !holds("uid") || !holds("resourceVersion") {
            return changed();
        }
        self.next_revision();
        self.objects.remove(id);
        reply(200, &json!({ "kind": "Status", "status": "Success", "code": 200 }))
    }

    fn list(&self, kind: &str, query: &str) -> Answered {
        let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let selector = query
            .get("labelSelector")
            .map(|text| text.to_string())
            .unwrap_or_default();
        let terms: Vec<_> = selector.split(',').filter_map(|term| term.split_once('=')).collect();
        let limit: usize = query
            .get("limit")
            .map_or(usize::MAX, |text| text.parse().expect("a number"));
        let begin: usize = query.get("continue").map_or(0, |text| text.parse().expect("a number"));
        let is_selected = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            terms.iter().all(|(label, value)| labels[*label] == *value)
        };
        let of_kind = self.objects.iter().filter(|((of, _), _)| of == kind);
        let selected: Vec<_> = of_kind
            .map(|(_, object)| object)
            .filter(|object| is_selected(object))
            .collect();
        let end = begin.saturating_add(limit).min(selected.len());
        // Metadata only: no test asks for more.
        let items: Vec<_> = selected[begin.min(end)..end]
            .iter()
            .map(|object| json!({ "metadata": object["metadata"] }))
            .collect();
        let next = if end < selected.len() {
            end.to_string()
        } else {
            String::new()
        };
        let meta = json!({ "resourceVersion": self.revision.to_string(), "continue": next });
        reply(200, &json!({ "metadata": meta, "items": items }))
    }
}

fn missing(name: &str) -> Answered {
    reply(
        404,
        &json!({ "reason": "NotFound", "message": format!("{name:?} not found") }),
    )
}

fn changed() -> Answered {
    reply(
        409,
        &json!({ "reason": "Conflict", "message": "the object has been modified" }),
    )
}

fn reply(code: u16, body: &Value) -> Answered {
    let mut body = body.clone();
    if code >= 400 {
        body["kind"] = json!("Status");
        body["apiVersion"] = json!("v1");
        body["status"] = json!("Failure");
        body["code"] = json!(code);
    }
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}
