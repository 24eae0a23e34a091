//! Calls whose requests go to the client on the call's own stream, or with the result.

use std::{future::pending, sync::Arc};

use portolan_fixtures::scripted::{EventStream, Reply, Request};
use serde_json::{Map, Value, json};

use super::State;

/// What one call asks for.
#[derive(Debug)]
pub(super) struct CallSpec {
    pub(super) tag: String,
    pub(super) requests: usize,
    pub(super) rounds: usize,
    method: String,
    /// Whether it reports progress.
    pub(super) progress: bool,
    /// Whether the stream is closed before the response, to be resumed.
    polls: bool,
}

impl CallSpec {
    pub(super) fn of(request: &Request) -> Self {
        let number = |name: &str| usize::try_from(request.argument(name).as_u64().unwrap_or(1)).expect("small");
        let method = request.argument("method").as_str().unwrap_or("elicitation/create");
        Self {
            tag: request.argument("tag").as_str().unwrap_or_default().to_owned(),
            requests: number("requests"),
            rounds: number("rounds"),
            method: method.to_owned(),
            progress: request.argument("progress") == true,
            polls: request.argument("polls") == true,
        }
    }

    /// A request to the client, without its id.
    fn request(&self) -> Value {
        let params = match self.method.as_str() {
            "elicitation/create" => json!({
                "message": self.tag,
                "requestedSchema": {"type": "object", "properties": {"tag": {"type": "string"}}},
            }),
            "sampling/createMessage" => json!({
                "messages": [{"role": "user", "content": {"type": "text", "text": self.tag}}], "maxTokens": 10,
            }),
            _ => json!({}),
        };
        json!({"method": self.method, "params": params})
    }

    /// A request to the client; its response is awaited from now on.
    pub(super) fn open_request(&self, state: &State) -> (String, Value) {
        let id = format!("q{}", state.next());
        state.responses().insert(id.clone(), None);
        let mut request = self.request();
        request["jsonrpc"] = "2.0".into();
        request["id"] = id.as_str().into();
        (id, request)
    }

    pub(super) fn result(&self, responses: &[String]) -> Value {
        let text = format!("{}:{}", self.tag, responses.join(","));
        json!({"content": [{"type": "text", "text": text}]})
    }
}

/// What a response says: the tag that it accepted with, its action, or all of it.
pub(super) fn response_text(response: &Value) -> String {
    let text = response["content"]["tag"]
        .as_str()
        .or_else(|| response["action"].as_str());
    text.map_or_else(|| response.to_string(), str::to_owned)
}

/// The notification that a call has come so far.
pub(super) fn progress(request: &Request, progress: usize) -> Value {
    let token = &request.params()["_meta"]["progressToken"];
    json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": token, "progress": progress}})
}

/// The result of a modern call: `input_required` until all rounds are through.
pub(super) fn modern(spec: &CallSpec, request: &Request) -> Value {
    let params = request.params();
    let (round, mut said) = match params["requestState"].as_str() {
        None => (0, Vec::new()),
        Some(state) => {
            let state: Value = serde_json::from_str(state).expect("a state of this server");
            assert_eq!(state["tag"], spec.tag, "the state of another call");
            let said: Vec<String> = serde_json::from_value(state["said"].clone()).expect("texts");
            let round = state["round"].as_u64().expect("a round");
            (usize::try_from(round).expect("small"), said)
        }
    };
    let key = |round: usize, number: usize| format!("{round}-{number}");
    if round > 0 {
        let responses = (0..spec.requests).map(|number| &params["inputResponses"][key(round, number)]);
        said.extend(responses.map(response_text));
    }
    if round == spec.rounds {
        let mut result = spec.result(&said);
        result["resultType"] = "complete".into();
        return result;
    }
    let round = round + 1;
    let requests: Map<_, _> = (0..spec.requests)
        .map(|number| (key(round, number), spec.request()))
        .collect();
    let state = json!({"tag": spec.tag, "round": round, "said": said}).to_string();
    json!({"resultType": "input_required", "inputRequests": requests, "requestState": state})
}

/// A legacy call that goes on in the background.
struct LegacyCall {
    state: Arc<State>,
    spec: CallSpec,
    request: Request,
    /// The name of its stream.
    name: String,
    /// Where it writes, while a client reads that.
    events: Option<EventStream>,
}

/// Begins a legacy call, which is answered by a stream of events.
pub(super) fn legacy(state: &Arc<State>, request: &Request) -> Reply {
    let (events, reply) = Reply::events();
    let call = LegacyCall {
        state: state.clone(),
        spec: CallSpec::of(request),
        request: request.clone(),
        name: format!("call{}", state.next()),
        events: Some(events),
    };
    tokio::spawn(call.run());
    reply
}

impl LegacyCall {
    async fn run(mut self) {
        if self.state.resumable {
            self.send("");
        }
        if self.spec.progress {
            self.send(&progress(&self.request, 1).to_string());
        }
        if self.spec.polls
            && let Some(events) = self.events.take()
        {
            events.send_raw("retry: 20\n\n");
        }
        let mut said = Vec::new();
        for _ in 0..self.spec.rounds {
            let mut ids = Vec::new();
            for _ in 0..self.spec.requests {
                let (id, request) = self.spec.open_request(&self.state);
                self.send(&request.to_string());
                ids.push(id);
            }
            for id in ids {
                let Some(response) = self.response_to(&id).await else {
                    return;
                };
                said.push(response_text(&response));
            }
        }
        if self.spec.progress {
            self.send(&progress(&self.request, 2).to_string());
        }
        let result = self.spec.result(&said);
        let id = &self.request.body["id"];
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string());
    }

    /// Writes an event, and keeps it for a client that resumes the stream.
    fn send(&mut self, data: &str) {
        let number = {
            let mut streams = self.state.streams.lock().expect("no panic");
            let events = streams.entry(self.name.clone()).or_default();
            events.push(data.to_owned());
            events.len()
        };
        self.state.changed.notify_waiters();
        let is_open = self.events.as_ref().is_some_and(|events| match self.state.resumable {
            true => events.send_with_id(&format!("{}/{number}", self.name), data),
            false => events.send(data),
        });
        if !is_open {
            self.events = None;
        }
    }

    /// Awaits a response; `None` if the client has closed a stream that cannot be resumed.
    async fn response_to(&mut self, id: &str) -> Option<Value> {
        let resumable = self.state.resumable;
        let events = self.events.clone();
        let closed = async move {
            match events {
                Some(events) if !resumable => events.closed().await,
                _ => pending().await,
            }
        };
        self.state.response_to(id, closed).await
    }
}

/// Resumes a stream after the event of this id.
pub(super) fn resume(state: &Arc<State>, last: &str) -> Reply {
    let (name, number) = last.split_once('/').expect("an event id of this server");
    let mut number: usize = number.parse().expect("a number");
    let (name, state) = (name.to_owned(), state.clone());
    let (events, reply) = Reply::events();
    tokio::spawn(async move {
        loop {
            let changed = state.changed.notified();
            let next = state.streams.lock().expect("no panic")[&name].get(number).cloned();
            let Some(data) = next else {
                tokio::select! {
                    () = changed => continue,
                    () = events.closed() => return,
                }
            };
            number += 1;
            events.send_with_id(&format!("{name}/{number}"), &data);
            if data.contains("\"result\"") {
                return;
            }
        }
    });
    reply
}
