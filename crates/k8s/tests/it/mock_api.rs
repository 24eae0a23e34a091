//! A mock API server, for responses that a real one does not give on demand.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use portolan_core::{
    InstallName, Owner, RunSpec, ServerName, Source, SystemClock, Transport, memory::MemoryCredentials,
};
use portolan_k8s::{EndpointMode, KubeConfig, KubeRuntime};
use serde_json::{Value, json};

/// A response to the next matching requests.
pub(crate) struct Rule {
    pub(crate) method: Method,
    /// A part of the path.
    pub(crate) path: &'static str,
    /// Whether it matches watches, or everything else.
    pub(crate) watch: bool,
    /// How often it applies; `None` is always.
    pub(crate) times: Option<usize>,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A `Status`.
    Refuse(u16, Value),
    /// A watch that sends this and ends.
    Tell(String),
    /// The connection breaks.
    Break,
}

/// The server.
#[derive(Default)]
pub(crate) struct MockApi {
    rules: Mutex<VecDeque<Rule>>,
    calls: Mutex<Vec<String>>,
    revision: Mutex<u64>,
}

type Answered = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

impl MockApi {
    pub(crate) fn new(rules: impl IntoIterator<Item = Rule>) -> Arc<Self> {
        let mock = Self::default();
        mock.rules.lock().expect("no panic").extend(rules);
        Arc::new(mock)
    }

    /// Creates a runtime over it.
    pub(crate) fn runtime(self: &Arc<Self>) -> KubeRuntime {
        self.runtime_with(|_| {})
    }

    /// Creates a runtime with a changed configuration.
    pub(crate) fn runtime_with(self: &Arc<Self>, change: impl FnOnce(&mut KubeConfig)) -> KubeRuntime {
        let mock = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let mock = mock.clone();
            async move { mock.serve(request).await }
        });
        let mut config = KubeConfig::in_namespace("mcp-servers");
        config.endpoint_mode = EndpointMode::Cluster;
        config.deadline = Duration::from_secs(4);
        change(&mut config);
        KubeRuntime::new(
            Client::new(service, "mcp-servers"),
            config,
            Arc::new(MemoryCredentials::new()),
        )
    }

    /// Returns the requests that begin with `begin`, as `METHOD path`; of a watch, `WATCH path`.
    pub(crate) fn calls(&self, begin: &str) -> Vec<String> {
        let calls = self.calls.lock().expect("no panic");
        calls.iter().filter(|call| call.starts_with(begin)).cloned().collect()
    }

    async fn serve(&self, request: Request<Body>) -> Result<Answered, std::io::Error> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let watch = head.uri.query().is_some_and(|query| query.contains("watch=true"));
        let verb = if watch { "WATCH" } else { head.method.as_str() };
        self.calls.lock().expect("no panic").push(format!("{verb} {path}"));
        if let Some(answer) = self.rule(&head.method, &path, watch) {
            return match answer {
                Answer::Refuse(code, status) => Ok(reply(code, &status)),
                Answer::Tell(text) => Ok(Response::new(Full::from(text).map_err(never).boxed_unsync())),
                Answer::Break => Err(std::io::Error::other("connection reset by peer")),
            };
        }
        let revision = {
            let mut revision = self.revision.lock().expect("no panic");
            *revision += 1;
            revision.to_string()
        };
        if watch {
            let silence = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>().boxed();
            return Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(silence))));
        }
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        Ok(match head.method {
            // A name is looked up: there is nothing under it.
            Method::GET if path.rsplit('/').next().is_some_and(|last| last.starts_with("mcp-")) => reply(
                404,
                &json!({ "code": 404, "reason": "NotFound", "message": "not found" }),
            ),
            Method::GET => reply(
                200,
                &json!({ "metadata": { "resourceVersion": revision }, "items": [] }),
            ),
            Method::PATCH => {
                let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
                object["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
                object["metadata"]["resourceVersion"] = json!(revision);
                reply(200, &object)
            }
            _ => reply(200, &json!({ "kind": "Status", "status": "Success", "code": 200 })),
        })
    }

    fn rule(&self, method: &Method, path: &str, watch: bool) -> Option<Answer> {
        let mut rules = self.rules.lock().expect("no panic");
        let fits = |rule: &Rule| {
            rule.method == *method && path.contains(rule.path) && rule.watch == watch && rule.times != Some(0)
        };
        let rule = rules.iter_mut().find(|rule| fits(rule))?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.answer.clone())
    }
}

fn reply(code: u16, body: &Value) -> Answered {
    let mut body = body.clone();
    if code >= 400 {
        body["kind"] = json!("Status");
        body["apiVersion"] = json!("v1");
        body["status"] = json!("Failure");
        body["code"] = json!(code);
    }
    let mut response = Response::new(Full::from(body.to_string()).map_err(never).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn never(never: Infallible) -> std::io::Error {
    match never {}
}

/// A server that speaks HTTP.
pub(crate) fn spec() -> RunSpec {
    let source = Source::Image {
        image: "ghcr.io/acme/time:1".into(),
        program: None,
        args: Vec::new(),
        transport: Transport::Http {
            port: 8080,
            path: "/mcp".into(),
        },
    };
    RunSpec::new(ServerName::parse("time").expect("a name"), Owner::Org, source)
}

pub(crate) fn name() -> InstallName {
    InstallName::new(&SystemClock)
}
