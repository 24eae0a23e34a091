//! The way of a request that a server answers, such as `tools/call`: to its server, and the answer back.

mod audit;
mod call_future;
mod deferred_body;
mod input_required;
mod legacy_stream;
mod outcome;
mod request;
mod send;

use std::sync::Arc;

use http::{Response, StatusCode};
use portolan_client::failure;
use portolan_core::{AuditSink, Clock, Decision, Error, Failure, FailureKind, Result};
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
    header,
    id::RequestId,
    method::Method,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

pub(crate) use self::call_future::CallFuture;
use self::{audit::AuditGuard, call_future::FuturePool, outcome::Outcome};
use crate::{
    body::{Body, KeepAliveBody},
    config::GatewayConfig,
    relay_request::ClientRequest,
    replicas::Replicas,
    reply::{self, Rejection},
    routing::{Denial, RequestContext, Resolver, Target, TargetError},
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
    calls: Arc<Semaphore>,
    future_pool: Arc<FuturePool>,
}

/// A client's request, and what belongs to it in this gateway.
#[derive(Clone, Copy)]
struct Caller<'a> {
    context: &'a Arc<RequestContext>,
    /// The session of a legacy client, and the entry of the request among its calls under way.
    session: Option<(&'a Arc<Session>, &'a CallHandle)>,
}

/// Where a request goes, and the task that it asks for.
struct Resolved<'a> {
    target: Target<'a>,
    task: Option<TaskIds>,
}

impl Relay {
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        resolver: &Arc<Resolver>,
        server_requests: &Arc<ServerRequests>,
        tasks: &Arc<Tasks>,
        replicas: &Arc<Replicas>,
        audit: &Arc<dyn AuditSink>,
        clock: &Arc<dyn Clock>,
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
            future_pool: Arc::default(),
        }
    }

    /// Whether no call is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let limit = self.config.limits.calls.min(Semaphore::MAX_PERMITS);
        self.calls.available_permits() >= limit
    }

    /// Refuses calls from now on: the gateway is shutting down.
    pub(crate) fn refuse_calls(&self) {
        self.calls.close();
    }

    fn permit(&self, context: &RequestContext) -> Result<OwnedSemaphorePermit> {
        self.calls.clone().try_acquire_owned().map_err(|refused| match refused {
            TryAcquireError::NoPermits => Error::Exhausted {
                what: "calls",
                limit: self.config.limits.calls,
            },
            TryAcquireError::Closed => Error::NotReady {
                what: "gateway",
                name: context.gateway.spec.name.to_string(),
                failure: Failure::new(FailureKind::Stopped, "it is shutting down").remedy("call again in a while"),
            },
        })
    }

    /// Answers one request. Everything that can go wrong comes back as an answer under the request's id.
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
        let permit = match self.permit(&context) {
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
        let caller = Caller {
            context: &context,
            session: session.as_ref().zip(call_handle.as_ref()),
        };
        let outcome = if resolved.target.has_others() {
            Box::pin(self.ask_in_turn(caller, &resolved.target, &request)).await
        } else {
            self.relay(caller, &resolved, *request).await
        };
        record.end(&outcome);
        match outcome {
            Ok(outcome) => Ok(self.respond(era, &id, outcome, (call_handle, permit))),
            Err(error) => Ok(failed(&error)),
        }
    }

    /// Finds the server of a request, or of the task that it asks for.
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
        caller: Caller<'_>,
        resolved: &Resolved<'_>,
        request: ClientRequest,
    ) -> Result<Outcome> {
        let text = request.text.clone();
        let request = self.relay_request(caller, resolved, request).await?;
        if request.session.is_none() {
            if request.params.contains("requestState") {
                return Box::pin(self.come_back(request, &text)).await;
            }
            if let Some(task) = resolved.task.as_ref().filter(|task| task.is_at_legacy()) {
                let message = Box::pin(self.tasks.serve_legacy(&request, task)).await?;
                return Ok(Outcome::Message(message));
            }
        }
        let reply = self.send(&request).await?;
        self.finish(request, reply)
    }

    /// Asks one server after the other for a resource that none of them lists, until one does not say that it has none.
    async fn ask_in_turn(
        self: &Arc<Self>,
        caller: Caller<'_>,
        target: &Target<'_>,
        request: &ClientRequest,
    ) -> Result<Outcome> {
        let mut unknown = None;
        let mut failure = None;
        for target in target.each() {
            let resolved = Resolved { target, task: None };
            match self.relay(caller, &resolved, request.clone()).await {
                Ok(Outcome::Message(message)) if reply::is_missing_resource(&request.id, &message) => {
                    unknown = Some(message);
                }
                Ok(found) => return Ok(found),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // What may be at a server that cannot be asked is not called unknown.
        match (failure, unknown) {
            (None, Some(message)) => Ok(Outcome::Message(message)),
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::invalid("uri", "is a resource of no server")),
        }
    }

    /// The response with an outcome. What belongs to the call is kept until its body is over.
    fn respond(
        &self,
        era: Era,
        id: &RequestId,
        outcome: Outcome,
        guards: (Option<CallHandle>, OwnedSemaphorePermit),
    ) -> Response<Body> {
        // The stream of a legacy client is kept alive where it is kept for replay.
        let keep_alive = |body: Body| match era {
            Era::Legacy => body,
            Era::Modern => Body::relayed(KeepAliveBody::new(body, self.config.timeouts.keep_alive)),
        };
        match outcome {
            Outcome::Message(message) => reply::json(reply::status_of(era, id, &message), message),
            Outcome::Json(body) => reply::json_relayed(Body::relayed(*body).with_guard(guards)),
            Outcome::Events(body) => reply::events(keep_alive(body).with_guard(guards)),
            Outcome::Forwarded(response) => response.map(|body| body.with_guard(guards)),
            // A cancelled call has no answer (2025-11-25, basic/utilities/cancellation).
            Outcome::Cancelled => reply::events(Body::empty()),
        }
    }

    /// The refusal of a call that the policy denies, with its audit record.
    fn denied(&self, context: &RequestContext, request: &ClientRequest, denial: Denial, era: Era) -> Rejection {
        audit::record_denial(self, context, request, &denial);
        match &denial.decision {
            Decision::StepUp { scopes, .. } => reply::insufficient_scope(&context.gateway.spec.name, scopes),
            _ => Rejection::new(error::http_status(denial.error.code, era), denial.error),
        }
    }
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
