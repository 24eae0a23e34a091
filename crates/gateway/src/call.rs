//! A request that is relayed to a server, such as `tools/call`: its way, from top to bottom.

mod audit;
mod owner;
mod target;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body as HttpBody;
use portolan_core::{BoxError, Error, Failure, FailureKind, GatewayName, Naming, Result};
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
    header,
    id::RequestId,
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};
use tokio::sync::TryAcquireError;

use self::{
    audit::AuditGuard,
    target::{Target, TargetError},
};
use crate::{
    body::Body,
    exposure::{ExposedTools, Named},
    passthrough,
    reply::{self, Rejection},
    request_context::RequestContext,
    server_requests::{self, ClientCapabilities},
    service::Inner,
    session::{CallHandle, Session},
    tasks::{self, Support, TaskIds, TaskSeal},
    upstream::{Reply, Requester, UpstreamRequest, capability_filter},
};

/// A request that a server answers, as a client sent it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) params: RawObject,
    /// The whole request as it came.
    pub(crate) text: Bytes,
    /// What a modern client declared that it can do.
    pub(crate) capabilities: Option<Bytes>,
    /// From which level on it asks for what is logged (modern clients).
    pub(crate) log: Option<LogLevel>,
}

/// Who sent a call: the request that brought it, and its session where the client's era has them.
#[derive(Clone, Copy)]
struct Client<'a> {
    context: &'a Arc<RequestContext>,
    session: Option<&'a Arc<Session>>,
    call_handle: Option<&'a CallHandle>,
}

impl Client<'_> {
    fn era(&self) -> Era {
        if self.session.is_some() {
            Era::Legacy
        } else {
            Era::Modern
        }
    }
}

impl Inner {
    /// Answers one call. Everything that can go wrong comes back as an answer under the call's id.
    pub(crate) async fn call(
        self: Arc<Self>,
        context: Arc<RequestContext>,
        session: Option<Arc<Session>>,
        call: Box<Call>,
    ) -> Result<Response<Body>, Rejection> {
        let (context, session) = (&context, session.as_ref());
        let era = if session.is_some() { Era::Legacy } else { Era::Modern };
        let (id, is_tool) = (call.id.clone(), call.method == Method::ToolsCall);
        let refuse =
            |error: ErrorObject| Rejection::new(error::http_status(error.code, era), error).with_id(Some(id.clone()));
        let failed = |error: &Error| reply::json(StatusCode::OK, reply::no_answer(era, is_tool, &id, error));
        let place = match self.calls.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => {
                let limit = self.config.limits.calls;
                return Ok(failed(&Error::Exhausted { what: "calls", limit }));
            }
            Err(TryAcquireError::Closed) => return Ok(failed(&shutting_down(&context.gateway.spec.name))),
        };
        // which install?
        let target = match self.known_target(context, &call) {
            Some(target) => target,
            None => match Box::pin(self.target(context, era, &call)).await {
                Ok(target) => target,
                Err(TargetError::Unknown(error)) => return Err(refuse(error)),
                Err(TargetError::Unreachable(error)) => return Ok(failed(&error)),
            },
        };
        if era == Era::Modern
            && let Some(tool) = target.tool()
        {
            let arguments = call.params.get("arguments");
            if let Err(fault) = header::check_params(&context.headers, &tool.headers, arguments) {
                return Err(refuse(ErrorObject::header_mismatch(fault.to_string())));
            }
        }
        let call_handle = match session.map(|session| session.begin(&call.id)).transpose() {
            Ok(call_handle) => call_handle,
            Err(error) => return Err(refuse(reply::error_object(&error))),
        };
        let mut record = AuditGuard::begin(&self, context, &target, &call.method);
        // as whom? where? which era?
        let client = Client {
            context,
            session,
            call_handle: call_handle.as_ref(),
        };
        let sent = if target.others.is_empty() {
            self.relay(client, &target, call).await
        } else {
            Box::pin(self.ask_in_turn(client, &target, call)).await
        };
        record.end(&sent);
        Ok(match sent {
            Ok(Reply::Message(message) | Reply::HeaderMismatch(message) | Reply::TaskRequired(message)) => {
                reply::json(reply::status_of(era, &id, &message), message)
            }
            Ok(Reply::Json(body)) => reply::json_relayed(with_guard(body, call_handle, place)),
            Ok(Reply::Events(events)) => reply::events(with_guard(self.flowing(era, events), call_handle, place)),
            Ok(Reply::Stream(body)) => reply::events(with_guard(self.flowing(era, body), call_handle, place)),
            Ok(Reply::Forwarded(response)) => response.map(|body| with_guard(body, call_handle, place)),
            Ok(Reply::InputRequired(_) | Reply::Task(_)) => {
                failed(&Error::invalid("answer", "asks for more than this call can give"))
            }
            Err(error) => failed(&error),
        })
    }

    /// A stream of events to a client. That of a legacy client is kept awake where it is kept to be taken up again.
    fn flowing(
        &self,
        era: Era,
        events: impl HttpBody<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
    ) -> Body {
        match era {
            Era::Legacy => Body::relayed(events),
            Era::Modern => self.keep_alive(events),
        }
    }

    async fn relay(self: &Arc<Self>, client: Client<'_>, target: &Target<'_>, call: Box<Call>) -> Result<Reply> {
        let era = client.era();
        let Client {
            context,
            session,
            call_handle,
        } = client;
        let mounted = target.mounted;
        let mut wanted = context.credential_for(target.mount, mounted);
        wanted.tool = target.tool().map(|tool| tool.tool.name().as_str());
        let credential = self.broker.credential(&wanted).await?;
        let tasks = self.task_ids(context, session, target, &call);
        let mut params = call.params;
        // Who has no tasks does the call as any other (2025-11-25, basic/utilities/tasks).
        let plain =
            session.is_some() && tasks.is_none() && call.method == Method::ToolsCall && params.remove("task").is_some();
        if let Some((member, value)) = &target.rename {
            params.set(member, value.clone());
        }
        let client = match (session, call_handle) {
            (Some(session), Some(call_handle)) => Requester::Legacy {
                session,
                cancelled: &call_handle.cancelled,
            },
            _ => Requester::Modern {
                caller: &context.caller,
                gateway: &context.gateway.spec.name,
                log: call.log,
            },
        };
        let able = match session {
            Some(session) => session.capabilities,
            None => call
                .capabilities
                .as_ref()
                .map_or(ClientCapabilities::NONE, ClientCapabilities::read),
        };
        let comes_back = session.is_none() && params.contains("requestState");
        let declared = capability_filter(call.capabilities.as_ref(), &target.mount.server);
        let outgoing = UpstreamRequest {
            client,
            id: call.id,
            method: call.method,
            params,
            unchanged: (target.rename.is_none() && declared.is_none() && !plain).then(|| call.text.clone()),
            declared,
            asks: able.within(target.mount.server.server_requests),
            odd_output: target.tool().is_some_and(|tool| tool.odd_output),
            uris: context.gateway.spec.resource_naming,
            tasks,
            mirrored: target.tool().map_or(&[], |tool| &tool.headers),
            credential: &credential,
            passthrough: passthrough::select(&context.gateway.passthrough, &context.headers),
        };
        let mut sent = if comes_back {
            Box::pin(server_requests::bring(self, context, mounted, &outgoing, &call.text)).await
        } else if session.is_none() && target.is_mapped() {
            Box::pin(self.mapped_task(context, target, &outgoing)).await
        } else {
            mounted.upstream.call(&outgoing).await
        };
        if matches!(sent, Ok(Reply::HeaderMismatch(_))) {
            sent = Box::pin(self.send_again(target, outgoing.clone(), sent)).await;
        }
        if matches!(sent, Ok(Reply::TaskRequired(_))) && self.drives(era) {
            sent = Box::pin(tasks::call_as_task(&mounted.upstream, outgoing.clone())).await;
        }
        if let Err(Error::NotReady { failure, .. }) = &sent
            && failure.kind == FailureKind::Credential
        {
            self.broker.forget(&mounted.install, Some(&context.caller));
        }
        // A server that asks something has not answered yet.
        match sent {
            Ok(reply @ (Reply::InputRequired(_) | Reply::Events(_) | Reply::Task(_))) => {
                Box::pin(server_requests::carry_on(self, context, mounted, &outgoing, reply)).await
            }
            sent => sent,
        }
    }

    /// What becomes of the ids of tasks in the answer: most clients know none.
    fn task_ids(
        self: &Arc<Self>,
        context: &RequestContext,
        session: Option<&Arc<Session>>,
        target: &Target<'_>,
        call: &Call,
    ) -> Option<Arc<TaskIds>> {
        let (gateway, install) = (&context.gateway.spec.name, target.mounted.install.name);
        let seal = || TaskSeal::new(&self.keys, gateway, &context.caller, install);
        match (&call.method, session) {
            (Method::ToolsCall, Some(session)) => {
                if !call.params.contains("task") || !session.has_tasks() || target.support() == Support::Forbidden {
                    return None;
                }
                let recorder = tasks::TaskRecorder::of(self, session, &target.mount.server.name);
                Some(Arc::new(TaskIds::Sealed(seal().noted(recorder))))
            }
            (Method::ToolsCall, None) => {
                let support = match target.support() {
                    support if support == Support::Forbidden || target.mounted.upstream.finds_tasks() => support,
                    _ => Support::Forbidden,
                };
                let seal = match (tasks::are_known(call.capabilities.as_ref()), support) {
                    (true, Support::Forbidden) => seal(),
                    (true, _) => seal().asking(),
                    (false, Support::Required) => seal().driving(self.config.timeouts.task),
                    (false, _) => return None,
                };
                Some(Arc::new(TaskIds::Sealed(seal)))
            }
            _ => target.task.clone(),
        }
    }

    /// What a modern client asks about the task of a legacy server.
    async fn mapped_task(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        target: &Target<'_>,
        outgoing: &UpstreamRequest<'_>,
    ) -> Result<Reply> {
        let known = target.task.as_deref().and_then(TaskIds::client_id);
        let found = known
            .as_ref()
            .and_then(|id| tasks::find(context, &self.keys, &object::text(id)?));
        match (found, known) {
            (Some(found), Some(known)) => Box::pin(tasks::serve(self, context, found, known, outgoing)).await,
            _ => Err(Error::invalid("taskId", "is the id of no task")),
        }
    }

    /// The server wants other arguments in headers than its definition of the tool said when it was last asked (-32020). It
    /// is asked for its tools anew, and the call is sent once more.
    async fn send_again(
        &self,
        target: &Target<'_>,
        mut outgoing: UpstreamRequest<'_>,
        sent: Result<Reply>,
    ) -> Result<Reply> {
        let Some(tool) = target.tool() else { return sent };
        let upstream = &target.mounted.upstream;
        let anew = upstream.listed_within::<ExposedTools>(outgoing.credential, Duration::ZERO);
        let Ok(listed) = anew.await else { return sent };
        let Some(at) = listed.items.position(Naming::Plain, tool.own()) else {
            return sent;
        };
        outgoing.mirrored = &listed.items.get(at).headers;
        upstream.call(&outgoing).await
    }

    /// Asks one server after the other for a resource that none of them lists, until one does not say that it has none.
    async fn ask_in_turn(self: &Arc<Self>, client: Client<'_>, target: &Target<'_>, call: Box<Call>) -> Result<Reply> {
        let mut unknown = None;
        let mut failure = None;
        for target in std::iter::once(target.alone()).chain(target.others()) {
            match self.relay(client, &target, call.clone()).await {
                Ok(Reply::Message(message)) if reply::is_missing_resource(&call.id, &message) => {
                    unknown = Some(message);
                }
                Ok(found) => return Ok(found),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // What may be at a server that cannot be asked is not called unknown.
        match (failure, unknown) {
            (None, Some(message)) => Ok(Reply::Message(message)),
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::invalid("uri", "is a resource of no server")),
        }
    }
}

/// A body that keeps a call's place and its entry among the calls under way until it is over.
fn with_guard(body: Body, call_handle: Option<CallHandle>, place: tokio::sync::OwnedSemaphorePermit) -> Body {
    body.with_guard((call_handle, place))
}

/// The answer to a call that comes after [`shutdown`](crate::McpGateway::shutdown).
fn shutting_down(gateway: &GatewayName) -> Error {
    Error::NotReady {
        what: "gateway",
        name: gateway.to_string(),
        failure: Failure::new(FailureKind::Stopped, "it is shutting down").remedy("call again in a while"),
    }
}
