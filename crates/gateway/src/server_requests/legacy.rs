//! Questions to legacy clients: as JSON-RPC requests on the stream of the call.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::{Error, Failure, FailureKind, Result, RpcResponse};
use portolan_wire::{
    envelope,
    era::ProtocolVersion,
    error::ErrorObject,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};
use tokio::time::{Duration, Instant};

use super::{
    generated_body::EventWriter,
    pending_call::PendingCall,
    token::{ResponseRoute, UpstreamSessionRef},
    wait_registry::WaitGuard,
};
use crate::{
    tasks,
    upstream::{Events, InputRequired, MOST, Reply, ServerRequest, ServerRequestKey, Step, TaskCreated},
};

/// The first wait before a call is made again for a server that asked for nothing but that; each one after it is twice as
/// long.
const BACKOFF: Duration = Duration::from_millis(50);

/// Writes the stream of a call of a legacy client: what the server says, what it asks, and its answer in the end.
///
/// A modern server ends the call when it asks, so that it is made again with the answers.
pub(super) async fn generate(pending: PendingCall, mut reply: Reply, writer: EventWriter) {
    let mut guard = pending.inner.server_requests.waiting.enter();
    let deadline = Instant::now() + pending.inner.config.timeouts.call_total;
    let limit = pending.inner.config.limits.rounds;
    let mut heard = false;
    for round in 0.. {
        let asked = match reply {
            Reply::Message(message) | Reply::HeaderMismatch(message) | Reply::TaskRequired(message) => {
                return writer.event(&message).await;
            }
            Reply::Json(body) => return writer.json(body).await,
            Reply::InputRequired(asked) => asked,
            Reply::Task(task) => return tasks::drive(&pending, task, Some(&mut guard), heard, &writer).await,
            Reply::Events(events) => match relay(&pending, events, &mut guard, &writer).await {
                Some(Turn::InputRequired(asked)) => {
                    heard = true;
                    asked
                }
                Some(Turn::Task(task)) => return tasks::drive(&pending, task, Some(&mut guard), true, &writer).await,
                None => return,
            },
            // It was cancelled.
            Reply::Stream(_) | Reply::Forwarded(_) => return,
        };
        if round == limit {
            let what = "questions of one call";
            return writer.event(&pending.failure(&Error::Exhausted { what, limit })).await;
        }
        let again = match ask(&pending, &asked, round, &mut guard, &writer, deadline).await {
            Ok(Some(params)) => pending.call(params).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        reply = match again {
            Ok(reply) => reply,
            Err(error) => return writer.event(&pending.failure(&error)).await,
        };
    }
}

/// How a stream ends without an answer.
enum Turn {
    /// With questions.
    InputRequired(InputRequired),
    /// The call goes on as this task.
    Task(TaskCreated),
}

/// Passes on what a server says until it has answered, or has ended the call otherwise.
async fn relay(pending: &PendingCall, mut events: Events, guard: &mut WaitGuard, writer: &EventWriter) -> Option<Turn> {
    let mut open: HashMap<u64, ServerRequestKey> = HashMap::new();
    let mut next = 0;
    loop {
        tokio::select! {
            step = events.step() => match step? {
                Ok(Step::Frame(piece)) => writer.piece(piece).await,
                Ok(Step::InputRequired(asked)) => return Some(Turn::InputRequired(asked)),
                Ok(Step::Task(task)) => return Some(Turn::Task(task)),
                Ok(Step::ServerRequest(server_request)) => {
                    let key = server_request.key.clone();
                    let session_ref = events.session_ref();
                    if open.len() >= MOST || !put(pending, session_ref, server_request, guard, next, writer).await {
                        let refused = ErrorObject::internal("the client cannot be asked now");
                        events.answer(&key, RpcResponse::Error(refused.to_bytes()));
                    } else if let ServerRequestKey::Channel(_) = key {
                        open.insert(next, key);
                    }
                    next += 1;
                }
                Err(fault) => {
                    writer.fail(fault).await;
                    return None;
                }
            },
            (key, answer) = guard.next() => {
                if let Some(key) = open.remove(&key) {
                    events.answer(&key, answer);
                }
            }
        }
    }
}

/// Puts a question of a legacy server to the client.
async fn put(
    pending: &PendingCall,
    session_ref: Option<UpstreamSessionRef>,
    server_request: ServerRequest,
    guard: &WaitGuard,
    key: u64,
    writer: &EventWriter,
) -> bool {
    let to = match &server_request.key {
        ServerRequestKey::Id(id) => {
            let Some(session_ref) = session_ref else { return false };
            ResponseRoute::Server {
                install: pending.install,
                session_ref,
                id: id.as_raw().into(),
            }
        }
        ServerRequestKey::Channel(_) => ResponseRoute::Call {
            place: pending.inner.server_requests.place(guard.handle),
            key,
        },
    };
    let Some(id) = mint(pending, to) else { return false };
    let message = envelope::request(&id, &server_request.method, server_request.params.as_deref());
    writer.event(&message).await;
    true
}

/// Asks all that a modern server wants to know. Gives the params to make the call again with; `None` if it was cancelled.
async fn ask(
    pending: &PendingCall,
    asked: &InputRequired,
    round: usize,
    guard: &mut WaitGuard,
    writer: &EventWriter,
    deadline: Instant,
) -> Result<Option<RawObject>> {
    let requests = asked.requests().map_err(|problem| pending.protocol_error(problem))?;
    let mut params = pending.params.clone();
    params.remove("inputResponses");
    params.remove("requestState");
    if let Some(state) = asked.state() {
        params.set("requestState", state.clone());
    }
    if requests.is_empty() {
        if asked.state().is_none() {
            return Err(pending.protocol_error("it asks for nothing"));
        }
        tokio::time::sleep(BACKOFF * 2_u32.saturating_pow(u32::try_from(round).unwrap_or(5).min(5))).await;
        return Ok(Some(params));
    }
    let Some(answers) = ask_all(pending, requests, round, guard, writer, deadline).await? else {
        return Ok(None);
    };
    params.set("inputResponses", answers.to_bytes());
    Ok(Some(params))
}

/// Asks the client all of these. Gives what it answered, each under its name; `None` if the call was cancelled.
pub(crate) async fn ask_all(
    pending: &PendingCall,
    requests: Vec<(String, Method, Option<Bytes>)>,
    round: usize,
    guard: &mut WaitGuard,
    writer: &EventWriter,
    deadline: Instant,
) -> Result<Option<RawObject>> {
    if pending.inner.server_requests.ending.is_cancelled() {
        return Err(pending.failed(ends()));
    }
    let mut open = HashMap::new();
    for (at, (name, method, server_request)) in requests.into_iter().enumerate() {
        if !pending.asks.permit(&method, server_request.as_ref()) {
            return Err(pending.protocol_error("it asks what it was told that this client cannot answer"));
        }
        // Keys of different rounds differ, so that a late answer is not taken for another.
        let key = (round * MOST + at) as u64;
        let place = pending.inner.server_requests.place(guard.handle);
        let id = mint(pending, ResponseRoute::Call { place, key })
            .ok_or_else(|| pending.protocol_error("its question cannot be put"))?;
        let server_request = legacy_params(pending, &method, server_request, &id);
        writer
            .event(&envelope::request(&id, &method, server_request.as_deref()))
            .await;
        open.insert(key, (name, method, id));
    }
    let answers = answers(pending, &mut open, guard, deadline).await;
    if !matches!(answers, Ok(Some(_))) {
        take_back(&open, writer).await;
    }
    answers
}

type OpenQuestions = HashMap<u64, (String, Method, RequestId)>;

/// Waits until all open questions are answered.
async fn answers(
    pending: &PendingCall,
    open: &mut OpenQuestions,
    guard: &mut WaitGuard,
    deadline: Instant,
) -> Result<Option<RawObject>> {
    let mut answers = RawObject::new();
    let after = pending.question_time();
    let mut silence = std::pin::pin!(tokio::time::sleep_until(deadline.min(Instant::now() + after)));
    while !open.is_empty() {
        tokio::select! {
            (key, answer) = guard.next() => {
                let Some((name, method, _)) = open.remove(&key) else { continue };
                answers.set(&name, answer_of(pending, &method, answer)?);
            }
            () = cancelled(pending) => return Ok(None),
            () = pending.inner.server_requests.ending.cancelled() => return Err(pending.failed(ends())),
            () = &mut silence => return Err(Error::Timeout { action: "the client's answer to a question".into(), after }),
        }
    }
    Ok(Some(answers))
}

/// What becomes of a call whose answers nobody would be there to take.
fn ends() -> Failure {
    Failure::new(
        FailureKind::Stopped,
        "this part of the gateway is about to end, and cannot wait for the answer to a question",
    )
    .remedy("call again, if it may be done twice")
}

/// An answer as it goes into `inputResponses`. There is no way to say there that a client refused, except for a person's.
fn answer_of(pending: &PendingCall, method: &Method, answer: RpcResponse) -> Result<Bytes> {
    match answer {
        RpcResponse::Result(raw) if raw.starts_with(b"{") => Ok(raw),
        RpcResponse::Error(_) if *method == Method::Elicit => Ok(Bytes::from_static(br#"{"action":"cancel"}"#)),
        _ => Err(pending.failed(Failure::new(
            FailureKind::Protocol,
            format!("the client does not answer its {}", method.as_str()),
        ))),
    }
}

/// Tells the client that nobody waits for these answers any more.
async fn take_back(open: &OpenQuestions, writer: &EventWriter) {
    for (_, _, id) in open.values() {
        let mut params = RawObject::new();
        params.set("requestId", id.to_bytes());
        params.set("reason", object::quote("the call is over"));
        writer
            .event(&envelope::notification(&Method::Cancelled, Some(&params.to_bytes())))
            .await;
    }
}

/// The params of a modern server's question, as the client's version has them.
fn legacy_params(pending: &PendingCall, method: &Method, params: Option<Bytes>, id: &RequestId) -> Option<Bytes> {
    let Some((session, _)) = &pending.session else {
        return params;
    };
    if *method != Method::Elicit {
        return params;
    }
    let mut members = RawObject::parse_checked(params.as_ref()?).ok()?;
    if session.version != ProtocolVersion::V2025_11_25 {
        members.remove("mode");
    } else if members.get("mode").is_some_and(|mode| mode == r#""url""#) && !members.contains("elicitationId") {
        // It has to have one, unique at the server (2025-11-25, client/elicitation); the question's own is.
        members.set("elicitationId", id.to_bytes());
    }
    Some(members.to_bytes())
}

fn mint(pending: &PendingCall, to: ResponseRoute) -> Option<RequestId> {
    let (session, _) = pending.session.as_ref()?;
    super::mint(&pending.inner, session.nonce(), to)
}

pub(crate) async fn cancelled(pending: &PendingCall) {
    match &pending.session {
        Some((_, cancelled)) => std::future::poll_fn(|cx| cancelled.poll(cx)).await,
        None => std::future::pending().await,
    }
}
