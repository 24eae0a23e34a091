//! Guards: checks of the arguments of a call before it is sent, and of its result before the client gets it.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt;
use portolan_client::{collect, failure};
use portolan_core::{
    Action, Error, Guard, GuardContext, GuardDecision, MethodUse, PromptUse, ResourceUse, Result, ToolUse,
};
use portolan_wire::{
    envelope::{self, Incoming, Message, Outcome as RpcOutcome},
    method::Method,
    object::{self, RawObject},
    sse,
};

use super::outcome::Outcome;
use crate::{
    body::{Body, GeneratedBody},
    relay_request::RelayRequest,
};

/// The guards of a gateway, in the order in which they run.
#[derive(Clone, Debug)]
pub(crate) struct Guards(Arc<[Arc<dyn Guard>]>);

/// A call that a guard refused, or whose result it withheld.
#[derive(Debug)]
pub(super) struct GuardRefusal {
    /// The response for the client.
    pub(super) message: Bytes,
    /// The reason, for the audit record.
    pub(super) reason: Cow<'static, str>,
}

impl Guards {
    pub(crate) fn new(guards: Vec<Arc<dyn Guard>>) -> Self {
        Self(guards.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether any guard checks results.
    pub(super) fn need_results(&self) -> bool {
        self.0.iter().any(|guard| guard.needs_result())
    }

    /// Runs all guards on the arguments; each sees the arguments as the previous one left them.
    pub(super) async fn check_arguments(&self, request: &mut RelayRequest) -> Result<(), GuardRefusal> {
        for guard in self.0.iter() {
            let arguments = arguments(request);
            let name = name(request);
            let used = Used::of(request, &name);
            match guard.check_arguments(&used.context(request), &arguments).await {
                GuardDecision::Replace(json) => set_arguments(request, json),
                GuardDecision::Refuse { reason, .. } => return Err(refused(request, reason)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Runs all guards on the result in an outcome. A result on a stream is buffered until it is checked; earlier
    /// events are relayed at once.
    pub(super) async fn check_outcome(&self, request: RelayRequest, outcome: Outcome, limit: usize) -> Result<Outcome> {
        let message = match outcome {
            Outcome::Message(message) => message,
            Outcome::Json(body) => collect::body(*body, limit)
                .await
                .map_err(|error| request.protocol_error(format!("its answer cannot be checked: {error}")))?,
            Outcome::Events(body) => return Ok(Outcome::Events(self.check_events(request, body, limit))),
            other => return Ok(other),
        };
        Ok(match self.check_message(&request, message).await {
            Ok(message) => Outcome::Message(message),
            Err(refused) => Outcome::Refused(refused),
        })
    }

    fn check_events(&self, request: RelayRequest, mut body: Body, limit: usize) -> Body {
        let guards = self.clone();
        GeneratedBody::begin(|writer| async move {
            let mut decoder = sse::Decoder::new(limit);
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => frame.into_data().into_iter().for_each(|data| decoder.push(data)),
                    Err(fault) => return writer.fail(fault).await,
                }
                loop {
                    match decoder.next_event() {
                        Ok(Some(event)) => match guards.check_message(&request, event.data).await {
                            Ok(message) => writer.event(&message).await,
                            Err(refused) => {
                                tracing::info!(reason = %refused.reason, "a guard withheld a result");
                                return writer.event(&refused.message).await;
                            }
                        },
                        Ok(None) => break,
                        Err(_) => {
                            let error = request.protocol_error("its answer is too large to be checked");
                            return writer.event(&request.failure(&error)).await;
                        }
                    }
                }
            }
        })
    }

    /// Checks a message if it is a response with a final result.
    async fn check_message(&self, request: &RelayRequest, message: Bytes) -> Result<Bytes, GuardRefusal> {
        let Some(mut result) = final_result(&message) else {
            return Ok(message);
        };
        let name = name(request);
        let used = Used::of(request, &name);
        let mut is_changed = false;
        for guard in self.0.iter() {
            match guard.check_result(&used.context(request), &result).await {
                GuardDecision::Replace(json) => (result, is_changed) = (json, true),
                GuardDecision::Refuse { reason, .. } => return Err(refused(request, reason)),
                _ => {}
            }
        }
        Ok(if is_changed {
            envelope::result(&request.id, &result)
        } else {
            message
        })
    }
}

/// Returns the use that a guard decides on.
enum Used<'a> {
    Tool(ToolUse<'a>),
    Prompt(PromptUse<'a>),
    Resource(ResourceUse<'a>),
    Method(MethodUse<'a>),
}

impl<'a> Used<'a> {
    fn of(request: &'a RelayRequest, name: &'a str) -> Self {
        let (gateway, server) = (&request.context.gateway.spec.name, &request.server.spec().name);
        let install = Some(request.install.name);
        if let Some(tool) = request.tool() {
            let mut used = ToolUse::new(gateway, server, &tool.tool);
            used.install = install;
            return Self::Tool(used);
        }
        match request.method {
            Method::PromptsGet => {
                let mut used = PromptUse::new(gateway, server, name);
                used.install = install;
                Self::Prompt(used)
            }
            Method::ResourcesRead => {
                let mut used = ResourceUse::new(gateway, server, name);
                used.install = install;
                Self::Resource(used)
            }
            _ => {
                let mut used = MethodUse::new(gateway, server, name);
                used.install = install;
                Self::Method(used)
            }
        }
    }

    fn context(&'a self, request: &'a RelayRequest) -> GuardContext<'a> {
        let action = match self {
            Self::Tool(used) => Action::UseTool(used),
            Self::Prompt(used) => Action::GetPrompt(used),
            Self::Resource(used) => Action::ReadResource(used),
            Self::Method(used) => Action::UseMethod(used),
        };
        GuardContext::new(&request.context.caller, action).with_request_id(request.context.request_id.as_str())
    }
}

/// Returns the name of the prompt, the URI of the resource, or the method.
fn name(request: &RelayRequest) -> String {
    let member = match request.method {
        Method::PromptsGet => "name",
        Method::ResourcesRead => "uri",
        _ => return request.method.as_str().to_owned(),
    };
    let text = request.params.get(member).and_then(object::text);
    text.map(|text| text.into_owned()).unwrap_or_default()
}

fn has_arguments(method: &Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet)
}

/// Returns the part of a request that guards see.
fn arguments(request: &RelayRequest) -> Bytes {
    if has_arguments(&request.method) {
        let arguments = request.params.get("arguments").cloned();
        arguments.unwrap_or(Bytes::from_static(b"{}"))
    } else {
        request.params.to_bytes()
    }
}

fn set_arguments(request: &mut RelayRequest, json: Bytes) {
    if has_arguments(&request.method) {
        request.params.set("arguments", json);
    } else if let Ok(params) = RawObject::parse_checked(&json) {
        request.params = params;
    }
}

fn refused(request: &RelayRequest, reason: Cow<'static, str>) -> GuardRefusal {
    let error = Error::Denied {
        action: format!("make this call: {reason}"),
    };
    GuardRefusal {
        message: failure::response(request.era(), request.is_tool_call(), &request.id, &error),
        reason,
    }
}

/// Returns the result in a response that ends the call; `None` for other messages, errors, and results that ask for
/// input or create a task.
fn final_result(message: &Bytes) -> Option<Bytes> {
    let limits = envelope::ParseLimits { depth: 1024, batch: 1 };
    let Ok(Incoming::One(Message::Response(response))) = envelope::parse(message, &limits) else {
        return None;
    };
    let RpcOutcome::Result(raw) = response.outcome else {
        return None;
    };
    let members = RawObject::parse(&raw).ok()?;
    let kind = members.get("resultType").and_then(object::text);
    let is_final = kind.is_none_or(|kind| kind == "complete") && !members.contains("task");
    is_final.then_some(raw)
}
