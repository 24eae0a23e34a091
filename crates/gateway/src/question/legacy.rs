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
    origin::Origin,
    talk::Pen,
    token::{Seat, To},
    waiting::Ticket,
};
use crate::{
    tasks,
    upstream::{Asked, Created, Events, MOST, Question, QuestionKey, Reply, Step},
};

/// The first wait before a call is made again for a server that asked for nothing but that; each one after it is twice as
/// long.
const BACKOFF: Duration = Duration::from_millis(50);

/// Writes the stream of a call of a legacy client: what the server says, what it asks, and its answer in the end.
///
/// A modern server ends the call when it asks, so that it is made again with the answers.
pub(super) async fn talk(origin: Origin, mut reply: Reply, pen: Pen) {
    let mut ticket = origin.inner.questions.waiting.enter();
    let deadline = Instant::now() + origin.inner.config.timeouts.call_total;
    let limit = origin.inner.config.limits.rounds;
    let mut heard = false;
    for round in 0.. {
        let asked = match reply {
            Reply::Message(message) | Reply::Misread(message) | Reply::Insists(message) => {
                return pen.event(&message).await;
            }
            Reply::Json(body) => return pen.json(body).await,
            Reply::Asks(asked) => asked,
            Reply::Task(task) => return tasks::drive(&origin, task, Some(&mut ticket), heard, &pen).await,
            Reply::Events(events) => match relay(&origin, events, &mut ticket, &pen).await {
                Some(Turn::Asked(asked)) => {
                    heard = true;
                    asked
                }
                Some(Turn::Task(task)) => return tasks::drive(&origin, task, Some(&mut ticket), true, &pen).await,
                None => return,
            },
            // It was cancelled.
            Reply::Stream(_) | Reply::Ready(_) => return,
        };
        if round == limit {
            let what = "questions of one call";
            return pen.event(&origin.failure(&Error::Exhausted { what, limit })).await;
        }
        let again = match ask(&origin, &asked, round, &mut ticket, &pen, deadline).await {
            Ok(Some(params)) => origin.call(params).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        reply = match again {
            Ok(reply) => reply,
            Err(error) => return pen.event(&origin.failure(&error)).await,
        };
    }
}

/// How a stream ends without an answer.
enum Turn {
    /// With questions.
    Asked(Asked),
    /// The call goes on as this task.
    Task(Created),
}

/// Passes on what a server says until it has answered, or has ended the call otherwise.
async fn relay(origin: &Origin, mut events: Events, ticket: &mut Ticket, pen: &Pen) -> Option<Turn> {
    let mut open: HashMap<u64, QuestionKey> = HashMap::new();
    let mut next = 0;
    loop {
        tokio::select! {
            step = events.step() => match step? {
                Ok(Step::Frame(piece)) => pen.piece(piece).await,
                Ok(Step::Asks(asked)) => return Some(Turn::Asked(asked)),
                Ok(Step::Task(task)) => return Some(Turn::Task(task)),
                Ok(Step::Question(question)) => {
                    let key = question.key.clone();
                    let seat = events.seat();
                    if open.len() >= MOST || !put(origin, seat, question, ticket, next, pen).await {
                        let refused = ErrorObject::internal("the client cannot be asked now");
                        events.answer(&key, RpcResponse::Error(refused.to_bytes()));
                    } else if let QuestionKey::Channel(_) = key {
                        open.insert(next, key);
                    }
                    next += 1;
                }
                Err(fault) => {
                    pen.fail(fault).await;
                    return None;
                }
            },
            (key, answer) = ticket.next() => {
                if let Some(key) = open.remove(&key) {
                    events.answer(&key, answer);
                }
            }
        }
    }
}

/// Puts a question of a legacy server to the client.
async fn put(origin: &Origin, seat: Option<Seat>, question: Question, ticket: &Ticket, key: u64, pen: &Pen) -> bool {
    let to = match &question.key {
        QuestionKey::Id(id) => {
            let Some(seat) = seat else { return false };
            To::Server {
                install: origin.install,
                seat,
                id: id.as_raw().into(),
            }
        }
        QuestionKey::Channel(_) => To::Call {
            place: origin.inner.questions.place(ticket.handle),
            key,
        },
    };
    let Some(id) = mint(origin, to) else { return false };
    let message = envelope::request(&id, &question.method, question.params.as_deref());
    pen.event(&message).await;
    true
}

/// Asks all that a modern server wants to know. Gives the params to make the call again with; `None` if it was cancelled.
async fn ask(
    origin: &Origin,
    asked: &Asked,
    round: usize,
    ticket: &mut Ticket,
    pen: &Pen,
    deadline: Instant,
) -> Result<Option<RawObject>> {
    let requests = asked.requests().map_err(|problem| origin.odd(problem))?;
    let mut params = origin.params.clone();
    params.remove("inputResponses");
    params.remove("requestState");
    if let Some(state) = asked.state() {
        params.set("requestState", state.clone());
    }
    if requests.is_empty() {
        if asked.state().is_none() {
            return Err(origin.odd("it asks for nothing"));
        }
        tokio::time::sleep(BACKOFF * 2_u32.saturating_pow(u32::try_from(round).unwrap_or(5).min(5))).await;
        return Ok(Some(params));
    }
    let Some(answers) = ask_all(origin, requests, round, ticket, pen, deadline).await? else {
        return Ok(None);
    };
    params.set("inputResponses", answers.to_bytes());
    Ok(Some(params))
}

/// Asks the client all of these. Gives what it answered, each under its name; `None` if the call was cancelled.
pub(crate) async fn ask_all(
    origin: &Origin,
    requests: Vec<(String, Method, Option<Bytes>)>,
    round: usize,
    ticket: &mut Ticket,
    pen: &Pen,
    deadline: Instant,
) -> Result<Option<RawObject>> {
    if origin.inner.questions.ending.is_cancelled() {
        return Err(origin.failed(ends()));
    }
    let mut open = HashMap::new();
    for (at, (name, method, question)) in requests.into_iter().enumerate() {
        if !origin.asks.permit(&method, question.as_ref()) {
            return Err(origin.odd("it asks what it was told that this client cannot answer"));
        }
        // Keys of different rounds differ, so that a late answer is not taken for another.
        let key = (round * MOST + at) as u64;
        let place = origin.inner.questions.place(ticket.handle);
        let id = mint(origin, To::Call { place, key }).ok_or_else(|| origin.odd("its question cannot be put"))?;
        let question = legacy_params(origin, &method, question, &id);
        pen.event(&envelope::request(&id, &method, question.as_deref())).await;
        open.insert(key, (name, method, id));
    }
    let answers = answers(origin, &mut open, ticket, deadline).await;
    if !matches!(answers, Ok(Some(_))) {
        take_back(&open, pen).await;
    }
    answers
}

type OpenQuestions = HashMap<u64, (String, Method, RequestId)>;

/// Waits until all open questions are answered.
async fn answers(
    origin: &Origin,
    open: &mut OpenQuestions,
    ticket: &mut Ticket,
    deadline: Instant,
) -> Result<Option<RawObject>> {
    let mut answers = RawObject::new();
    let after = origin.question_time();
    let mut silence = std::pin::pin!(tokio::time::sleep_until(deadline.min(Instant::now() + after)));
    while !open.is_empty() {
        tokio::select! {
            (key, answer) = ticket.next() => {
                let Some((name, method, _)) = open.remove(&key) else { continue };
                answers.set(&name, answer_of(origin, &method, answer)?);
            }
            () = cancelled(origin) => return Ok(None),
            () = origin.inner.questions.ending.cancelled() => return Err(origin.failed(ends())),
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
fn answer_of(origin: &Origin, method: &Method, answer: RpcResponse) -> Result<Bytes> {
    match answer {
        RpcResponse::Result(raw) if raw.starts_with(b"{") => Ok(raw),
        RpcResponse::Error(_) if *method == Method::Elicit => Ok(Bytes::from_static(br#"{"action":"cancel"}"#)),
        _ => Err(origin.failed(Failure::new(
            FailureKind::Protocol,
            format!("the client does not answer its {}", method.as_str()),
        ))),
    }
}

/// Tells the client that nobody waits for these answers any more.
async fn take_back(open: &OpenQuestions, pen: &Pen) {
    for (_, _, id) in open.values() {
        let mut params = RawObject::new();
        params.set("requestId", id.to_bytes());
        params.set("reason", object::quote("the call is over"));
        pen.event(&envelope::notification(&Method::Cancelled, Some(&params.to_bytes())))
            .await;
    }
}

/// The params of a modern server's question, as the client's version has them.
fn legacy_params(origin: &Origin, method: &Method, params: Option<Bytes>, id: &RequestId) -> Option<Bytes> {
    let Some((session, _)) = &origin.session else {
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

fn mint(origin: &Origin, to: To) -> Option<RequestId> {
    let (session, _) = origin.session.as_ref()?;
    super::mint(&origin.inner, session.nonce(), to)
}

pub(crate) async fn cancelled(origin: &Origin) {
    match &origin.session {
        Some((_, cancelled)) => std::future::poll_fn(|cx| cancelled.poll(cx)).await,
        None => std::future::pending().await,
    }
}
