//! Relays requests such as `tools/call` to their servers, and the responses back.

mod admission;
mod audit;
mod call_future;
mod deferred_body;
mod denial;
mod guards;
mod legacy_client;
mod modern_client;
mod outcome;
mod request;
mod retry;

use std::sync::Arc;

use http::{Response, StatusCode};
use portolan_client::failure;
use portolan_core::{AuditSink, Clock, Error, Result};
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
    header,
    id::RequestId,
    method::Method,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{audit::AuditGuard, call_future::FuturePool, outcome::Outcome};
pub(crate) use self::{call_future::CallFuture, guards::Guards};
use crate::{
    body::{Body, KeepAliveBody},
    config::GatewayConfig,
    relay_request::{ClientRequest, RelayRequest},
    replicas::Replicas,
    reply::{self, Rejection},
    routing::{RequestContext, Resolver, Target, TargetError},
    server_requests::ServerRequests,
    sessions::{CallHandle, Session},
    task_ids::TaskIds,
    tasks::Tasks,
};

/// Relays requests to servers.
#[derive(Debug)]
pub(crate) struct Relay {
    config: Arc<GatewayConfig>,
    resolver: Arc<Resolver>,
    server_requests: Arc<ServerRequests>,
    tasks: Arc<Tasks>,
    replicas: Arc<Replicas>,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    guards: Guards,
    calls: Arc<Semaphore>,
    future_pool: Arc<FuturePool>,
}

/// The caller of a request: its context, and its session if the client is legacy.
#[derive(Clone, Copy)]
struct RequestSource<'a> {
    context: &'a Arc<RequestContext>,
    /// The session of a legacy client, and the handle of this request among its calls in flight.
    session: Option<(&'a Arc<Session>, &'a CallHandle)>,
}

/// The target of a request, and the task that it names.
struct Resolved<'a> {
    target: Target<'a>,
    task: Option<TaskIds>,
}

impl Relay {
    #[allow(clippy::too_many_arguments, reason = "each is a service of its own")]
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        resolver: &Arc<Resolver>,
        server_requests: &Arc<ServerRequests>,
        tasks: &Arc<Tasks>,
        replicas: &Arc<Replicas>,
        audit: &Arc<dyn AuditSink>,
        clock: &Arc<dyn Clock>,
        guards: Guards,
    ) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(config.limits.calls.min(Semaphore::MAX_PERMITS))),
            config: config.clone(),
            resolver: resolver.clone(),
            server_requests: server_requests.clone(),
            tasks: tasks.clone(),
            replicas: replicas.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            guards,
            future_pool: Arc::default(),
        }
    }

    /// Answers one request. Failures become a response under the request's id.
    pub(crate) async fn call(
        self: Arc<Self>,
        context: Arc<RequestContext>,
        session: Option<Arc<Session>>,
        request: Box<ClientRequest>,
    ) -> Result<Response<Body>, Rejection> {
        let era = if session.is_some() { Era::Legacy } else { Era::Modern };
        let (id, is_tool) = (request.id.clone(), request.method == Method::ToolsCall);
        let refuse =
            |error: ErrorObject| Rejection::new(error::http_status(error.code, era), error).with_id(Some(id.clone()));
        let failed = |error: &Error| reply::json(StatusCode::OK, failure::response(era, is_tool, &id, error));
        let permit = match self.admit(&context) {
            Ok(permit) => permit,
            Err(error) => return Ok(failed(&error)),
        };
        let resolved = match self.resolve(&context, era, &request).await {
            Ok(resolved) => resolved,
            Err(TargetError::Unknown(error)) => return Err(refuse(error)),
            Err(TargetError::Denied(denial)) => {
                return Err(self.denied(&context, &request, *denial, era).with_id(Some(id)));
            }
            Err(TargetError::Unreachable(error)) => return Ok(failed(&error)),
        };
        check_header_params(era, &context, &resolved.target, &request).map_err(refuse)?;
        let call_handle = match session.as_ref().map(|session| session.begin(&request.id)).transpose() {
            Ok(call_handle) => call_handle,
            Err(error) => return Err(refuse(failure::error_object(&error))),
        };
        let mut record = AuditGuard::begin(&self, &context, &resolved.target, &request);
        let caller = RequestSource {
            context: &context,
            session: session.as_ref().zip(call_handle.as_ref()),
        };
        let outcome = if resolved.target.has_others() {
            Box::pin(self.try_each(caller, &resolved.target, &request)).await
        } else {
            self.relay(caller, &resolved, request).await
        };
        record.end(&outcome);
        match outcome {
            Ok(outcome) => Ok(self.respond(era, &id, outcome, (call_handle, permit))),
            Err(error) => Ok(failed(&error)),
        }
    }

    /// Finds the server of a request, or of the task that it names.
    async fn resolve<'a>(
        &self,
        context: &'a RequestContext,
        era: Era,
        request: &ClientRequest,
    ) -> Result<Resolved<'a>, TargetError> {
        let target = match &request.method {
            Method::ToolsCall => self.resolver.tool(context, &request.params).await?,
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel | Method::TasksResult => {
                let (target, task) = self.tasks.target(context, era, request)?;
                return Ok(Resolved {
                    target,
                    task: Some(task),
                });
            }
            other => Box::pin(self.resolver.target(context, era, other, &request.params)).await?,
        };
        Ok(Resolved { target, task: None })
    }

    /// Relays a request to one server.
    async fn relay(
        self: &Arc<Self>,
        caller: RequestSource<'_>,
        resolved: &Resolved<'_>,
        request: Box<ClientRequest>,
    ) -> Result<Outcome> {
        let place = (resolved.target.route, resolved.target.install);
        let tool = resolved.target.tool().map(|tool| tool.tool.name().as_str());
        let credential = self.resolver.credential(caller.context, place, tool).await?;
        let continues = caller.session.is_none() && request.params.contains("requestState");
        let text = continues.then(|| request.text.clone());
        let mut request = self.relay_request(caller, resolved, request, credential);
        if text.is_none()
            && !self.guards.is_empty()
            && let Err(refused) = Box::pin(self.guards.check_arguments(&mut request)).await
        {
            return Ok(Outcome::Refused(refused));
        }
        let guarded = self.guards.need_results().then(|| Box::new(request.clone()));
        let outcome = if let Some(text) = text {
            Box::pin(self.continue_call(request, text)).await?
        } else if let Some(task) = legacy_task(&request, resolved) {
            Outcome::Message(Box::pin(self.tasks.serve_legacy(&request, task)).await?)
        } else {
            let reply = self.send(&request).await?;
            self.finish(request, reply)?
        };
        match guarded {
            None => Ok(outcome),
            Some(request) => {
                let limit = self.config.limits.held_bytes;
                Box::pin(self.guards.check_outcome(*request, outcome, limit)).await
            }
        }
    }

    /// Tries one server after another for a resource that none of them lists, until one does not report it missing.
    async fn try_each(
        self: &Arc<Self>,
        caller: RequestSource<'_>,
        target: &Target<'_>,
        request: &ClientRequest,
    ) -> Result<Outcome> {
        let mut unknown = None;
        let mut failure = None;
        for target in target.each() {
            let resolved = Resolved { target, task: None };
            match self.relay(caller, &resolved, Box::new(request.clone())).await {
                Ok(Outcome::Message(message)) if reply::is_missing_resource(&request.id, &message) => {
                    unknown = Some(message);
                }
                Ok(found) => return Ok(found),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // A resource that an unreachable server may have is not reported missing.
        match (failure, unknown) {
            (None, Some(message)) => Ok(Outcome::Message(message)),
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::invalid("uri", "is a resource of no server")),
        }
    }

    /// Builds the response of an outcome. The guards are held until its body ends.
    fn respond(
        &self,
        era: Era,
        id: &RequestId,
        outcome: Outcome,
        guards: (Option<CallHandle>, OwnedSemaphorePermit),
    ) -> Response<Body> {
        // For legacy clients, the replay stream sends the keep-alive comments.
        let keep_alive = |body: Body| match era {
            Era::Legacy => body,
            Era::Modern => Body::relayed(KeepAliveBody::new(body, self.config.timeouts.keep_alive)),
        };
        match outcome {
            Outcome::Message(message) => reply::json(reply::status_of(era, id, &message), message),
            Outcome::Refused(refused) => reply::json(StatusCode::OK, refused.message),
            Outcome::Json(body) => reply::json_relayed(Body::relayed(*body).with_guard(guards)),
            Outcome::Events(body) => reply::events(keep_alive(body).with_guard(guards)),
            Outcome::Forwarded(response) => response.map(|body| body.with_guard(guards)),
            // A cancelled call has no response (2025-11-25, basic/utilities/cancellation).
            Outcome::Cancelled => reply::events(Body::empty()),
        }
    }
}

/// The task of a legacy server that a modern client asks about.
fn legacy_task<'a>(request: &RelayRequest, resolved: &'a Resolved<'_>) -> Option<&'a TaskIds> {
    let task = resolved.task.as_ref().filter(|task| task.is_at_legacy());
    task.filter(|_| request.session.is_none())
}

/// Checks that the headers of a modern call repeat its arguments (SEP-2243).
fn check_header_params(
    era: Era,
    context: &RequestContext,
    target: &Target<'_>,
    request: &ClientRequest,
) -> Result<(), ErrorObject> {
    match target.tool() {
        Some(tool) if era == Era::Modern => {
            let arguments = request.params.get("arguments");
            header::check_params(&context.headers, &tool.headers, arguments)
                .map_err(|fault| ErrorObject::header_mismatch(fault.to_string()))
        }
        _ => Ok(()),
    }
}
