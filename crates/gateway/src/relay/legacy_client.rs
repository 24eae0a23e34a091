//! The stream of a legacy client's call with server requests.

use std::{collections::HashMap, sync::Arc};

use portolan_client::{Events, InputRequired, MAX_SERVER_REQUESTS, Reply, ServerRequestKey, Step, TaskCreated};
use portolan_core::{Error, Result, RpcResponse};
use portolan_wire::{error::ErrorObject, object::RawObject};
use tokio::time::{Duration, Instant};

use super::Relay;
use crate::{body::EventWriter, relay_request::RelayRequest, server_requests::WaitGuard};

/// The first delay before a call is sent again to a server that requested only a retry; doubled each time.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Writes the stream of a legacy client's call: the server's messages and requests, and finally its response.
///
/// A modern server ends the call with its requests, so the call is sent again with the responses.
pub(super) async fn generate(relay: Arc<Relay>, mut request: RelayRequest, mut reply: Reply, writer: EventWriter) {
    let mut guard = relay.server_requests.register();
    let deadline = Instant::now() + relay.config.timeouts.call_total;
    let limit = relay.config.limits.rounds;
    let mut has_output = false;
    for round in 0.. {
        let input = match reply {
            Reply::Message(message) | Reply::HeaderMismatch(message) | Reply::TaskRequired(message) => {
                return writer.event(&message).await;
            }
            Reply::Json(body) => return writer.json(*body).await,
            Reply::InputRequired(input) => input,
            Reply::Task(task) => {
                return relay
                    .tasks
                    .poll(&request, task, Some(&mut guard), has_output, &writer)
                    .await;
            }
            Reply::Events(events) => match relay.relay_events(&request, events, &mut guard, &writer).await {
                Some(StreamEnd::InputRequired(input)) => {
                    has_output = true;
                    input
                }
                Some(StreamEnd::Task(task)) => {
                    return relay.tasks.poll(&request, task, Some(&mut guard), true, &writer).await;
                }
                None => return,
            },
            Reply::Cancelled => return,
        };
        if round == limit {
            let what = "server requests of one call";
            return writer.event(&request.failure(&Error::Exhausted { what, limit })).await;
        }
        let again = match relay.ask(&request, &input, round, &mut guard, &writer, deadline).await {
            Ok(Some(params)) => {
                request.params = params;
                relay.send(&request).await
            }
            Ok(None) => return,
            Err(error) => Err(error),
        };
        reply = match again {
            Ok(reply) => reply,
            Err(error) => return writer.event(&request.failure(&error)).await,
        };
    }
}

/// The end of a stream without a response.
enum StreamEnd {
    /// The server sent requests.
    InputRequired(InputRequired),
    /// The call became this task.
    Task(TaskCreated),
}

impl Relay {
    /// Relays the messages of a server until its response, or another end of the call.
    async fn relay_events(
        &self,
        request: &RelayRequest,
        mut events: Events,
        guard: &mut WaitGuard,
        writer: &EventWriter,
    ) -> Option<StreamEnd> {
        let mut open: HashMap<u64, ServerRequestKey> = HashMap::new();
        let mut next = 0;
        loop {
            tokio::select! {
                step = events.step() => match step? {
                    Ok(Step::Frame(chunk)) => writer.chunk(chunk).await,
                    Ok(Step::InputRequired(input)) => return Some(StreamEnd::InputRequired(input)),
                    Ok(Step::Task(task)) => return Some(StreamEnd::Task(task)),
                    Ok(Step::ServerRequest(server_request)) => {
                        let key = server_request.key.clone();
                        let session_ref = events.session_ref();
                        let may_ask = open.len() < MAX_SERVER_REQUESTS;
                        let entry = (&*guard, next);
                        let requests = &self.server_requests;
                        if !may_ask || !requests.relay_request(request, session_ref, server_request, entry, writer).await {
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

    /// Sends the requests of a modern server to the client, and returns the params to send the call again with; `None`
    /// if the call was cancelled.
    async fn ask(
        &self,
        request: &RelayRequest,
        input: &InputRequired,
        round: usize,
        guard: &mut WaitGuard,
        writer: &EventWriter,
        deadline: Instant,
    ) -> Result<Option<RawObject>> {
        let requests = input.requests().map_err(|problem| request.protocol_error(problem))?;
        let mut params = request.params.clone();
        params.remove("inputResponses");
        params.remove("requestState");
        if let Some(state) = input.state() {
            params.set("requestState", state.clone());
        }
        if requests.is_empty() {
            if input.state().is_none() {
                return Err(request.protocol_error("its input_required result has neither requests nor a state"));
            }
            tokio::time::sleep(RETRY_DELAY * 2_u32.saturating_pow(u32::try_from(round).unwrap_or(5).min(5))).await;
            return Ok(Some(params));
        }
        let responses = self
            .server_requests
            .ask_all(request, requests, round, guard, writer, deadline);
        let Some(answers) = responses.await? else {
            return Ok(None);
        };
        params.set("inputResponses", answers.to_bytes());
        Ok(Some(params))
    }
}
