//! `tools/call`: the way of one call, from top to bottom.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_core::{AuditEvent, AuditOutcome, Error, InstallName, Result};
use portolan_wire::{
    envelope,
    era::Era,
    error::ErrorObject,
    header,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use crate::{
    body::Body,
    exposure::{ExposedTool, ExposedTools},
    passthrough,
    reply::{self, Rejection},
    service::Inner,
    session::{Inflight, Session},
    table::{Mount, Mounted},
    upstream::{ClientSide, Outgoing, Reply},
    visit::Visit,
};

/// A tool that is asked for and not on a list makes the lists be fetched again, at most this often.
const MISS_AGE: Duration = Duration::from_secs(5);
/// For how long calls of other servers do not wait for one whose list could not be had.
const FAILURE_AGE: Duration = Duration::from_secs(2);

/// A call of a tool, as a client sent it.
#[derive(Debug)]
pub(crate) struct ToolCall {
    pub(crate) id: RequestId,
    pub(crate) params: RawObject,
    /// The whole request as it came.
    pub(crate) text: Bytes,
}

/// Where a call goes.
struct Target<'a> {
    mount: &'a Mount,
    mounted: &'a Mounted,
    tools: Arc<ExposedTools>,
}

impl Inner {
    /// Answers one call. Everything that can go wrong comes back as an answer under the call's id.
    pub(crate) async fn call_tool(
        self: Arc<Self>,
        visit: Arc<Visit>,
        session: Option<Arc<Session>>,
        call: ToolCall,
    ) -> Result<Response<Body>, Rejection> {
        let (visit, session) = (&*visit, session.as_ref());
        let era = if session.is_some() { Era::Legacy } else { Era::Modern };
        let id = call.id.clone();
        let refuse = |error: ErrorObject| {
            Rejection::new(portolan_wire::error::http_status(error.code, era), error).with_id(Some(id.clone()))
        };
        let Ok(_place) = self.calls.clone().try_acquire_owned() else {
            let error = Error::Exhausted {
                what: "calls",
                limit: self.config.limits.calls,
            };
            return Ok(failed(&call.id, era, &error));
        };
        let name = call.params.get("name").and_then(object::text);
        let Some(name) = name.map(|name| name.into_owned()) else {
            return Err(refuse(ErrorObject::invalid_params(
                "params.name must be the name of a tool",
            )));
        };
        // which install?
        let target = match self.find_known(visit, &name) {
            Some(target) => target,
            None => match Box::pin(self.find(visit, &name)).await {
                Ok(Some(target)) => target,
                Ok(None) => return Err(refuse(ErrorObject::unknown_tool(&name))),
                Err(error) => return Ok(failed(&call.id, era, &error)),
            },
        };
        let naming = visit.gateway.spec.naming;
        let Some(tool) = target.tools.find(naming, &name) else {
            return Err(refuse(ErrorObject::unknown_tool(&name)));
        };
        if era == Era::Modern {
            let arguments = call.params.get("arguments");
            if let Err(fault) = header::check_params(&visit.headers, &tool.headers, arguments) {
                let error = ErrorObject::header_mismatch(fault.to_string());
                return Err(Rejection::new(StatusCode::BAD_REQUEST, error).with_id(Some(call.id)));
            }
        }
        let inflight = match session.map(|session| session.begin(&call.id)).transpose() {
            Ok(inflight) => inflight,
            Err(error) => return Err(refuse(reply::error_object(&error))),
        };
        let mut record = Record::begin(&self, visit, &target, tool);
        // as whom? where? which era?
        let sent = self.relay(visit, session, inflight.as_ref(), &target, tool, call).await;
        record.end(&sent);
        Ok(match sent {
            Ok(Reply::Message(message)) => reply::json(StatusCode::OK, message),
            Ok(Reply::Json(body)) => reply::json_relayed(attended(body, inflight, _place)),
            Ok(Reply::Events(body)) => reply::events(attended(body, inflight, _place)),
            Err(error) => failed(&id, era, &error),
        })
    }

    async fn relay(
        &self,
        visit: &Visit,
        session: Option<&Arc<Session>>,
        inflight: Option<&Inflight>,
        target: &Target<'_>,
        tool: &ExposedTool,
        call: ToolCall,
    ) -> Result<Reply> {
        let mounted = target.mounted;
        let credential = self
            .broker
            .credential(&visit.caller, &target.mount.server, &mounted.install)
            .await?;
        let mut params = call.params;
        let own_name = tool.tool.name().as_str();
        let renamed = tool.name(visit.gateway.spec.naming) != own_name;
        if renamed {
            params.set("name", object::quote(own_name));
        }
        let client = match (session, inflight) {
            (Some(session), Some(inflight)) => ClientSide::Legacy {
                session,
                cancelled: &inflight.cancelled,
            },
            _ => ClientSide::Modern { caller: &visit.caller },
        };
        let outgoing = Outgoing {
            client,
            id: call.id,
            method: Method::ToolsCall,
            params,
            unchanged: (!renamed).then_some(call.text),
            mirrored: &tool.headers,
            credential: &credential,
            passthrough: passthrough::select(&visit.gateway.passthrough, &visit.headers),
        };
        let sent = mounted.upstream.call(&outgoing).await;
        if let Err(Error::NotReady { failure, .. }) = &sent
            && failure.cause == portolan_core::Cause::Credential
        {
            self.broker.forget(&mounted.install);
        }
        sent
    }

    /// The server that has a tool of this name for this caller, among what is known without asking.
    fn find_known<'a>(&self, visit: &'a Visit, name: &str) -> Option<Target<'a>> {
        for mount in visit.gateway.mounts_for(name) {
            let Some(mounted) = mount.resolve(&visit.caller) else {
                continue;
            };
            // Of two servers with one name the first has it, so the second is not asked before the first is known.
            let tools = match mounted.upstream.known_tools() {
                Some(tools) => tools,
                // Lists leave such a server out; what others have is called without waiting for it.
                None if mounted.upstream.failed_within(FAILURE_AGE) => continue,
                None => return None,
            };
            if let Some(target) = self.target(visit, mount, mounted, tools, name) {
                return Some(target);
            }
        }
        None
    }

    /// The same, after servers were asked again what they can do. What the caller may not use is not found.
    async fn find<'a>(&self, visit: &'a Visit, name: &str) -> Result<Option<Target<'a>>> {
        let mut failure = None;
        for mount in visit.gateway.mounts_for(name) {
            let Some(mounted) = mount.resolve(&visit.caller) else {
                continue;
            };
            match self.ask(visit, mount, mounted).await {
                Ok(tools) => {
                    if let Some(target) = self.target(visit, mount, mounted, tools, name) {
                        return Ok(Some(target));
                    }
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // A name that may belong to a server which cannot be asked is not called unknown.
        failure.map_or(Ok(None), Err)
    }

    fn target<'a>(
        &self,
        visit: &'a Visit,
        mount: &'a Mount,
        mounted: &'a Mounted,
        tools: Arc<ExposedTools>,
        name: &str,
    ) -> Option<Target<'a>> {
        let tool = tools.find(visit.gateway.spec.naming, name)?;
        self.allows(visit, mount, mounted, tool)
            .then_some(Target { mount, mounted, tools })
    }

    async fn ask(&self, visit: &Visit, mount: &Mount, mounted: &Mounted) -> Result<Arc<ExposedTools>> {
        let broker = &self.broker;
        let credential = broker
            .credential(&visit.caller, &mount.server, &mounted.install)
            .await?;
        mounted.upstream.tools_within(&credential, MISS_AGE).await
    }
}

fn failed(id: &RequestId, era: Era, error: &Error) -> Response<Body> {
    reply::json(StatusCode::OK, envelope::result(id, &reply::tool_failure(era, error)))
}

/// A body that keeps a call's place and its entry among the calls under way until it is over.
fn attended(body: Body, inflight: Option<Inflight>, place: tokio::sync::OwnedSemaphorePermit) -> Body {
    body.attended((inflight, place))
}

/// The audit record of a call, also of one whose client goes away.
struct Record<'a> {
    inner: &'a Inner,
    visit: &'a Visit,
    server: &'a portolan_core::ServerName,
    install: InstallName,
    tool: &'a str,
    at: jiff::Timestamp,
    since: Instant,
    outcome: AuditOutcome,
}

impl<'a> Record<'a> {
    fn begin(inner: &'a Inner, visit: &'a Visit, target: &Target<'a>, tool: &'a ExposedTool) -> Self {
        Self {
            inner,
            visit,
            server: &target.mount.server.name,
            install: target.mounted.install.name,
            tool: tool.tool.name().as_str(),
            at: inner.clock.now(),
            since: Instant::now(),
            outcome: AuditOutcome::Cancelled,
        }
    }

    fn end(&mut self, sent: &Result<Reply>) {
        self.outcome = match sent {
            Ok(_) => AuditOutcome::Answered,
            Err(error) => {
                tracing::info!(server = %self.server, %error, "a call has no answer");
                AuditOutcome::Failed
            }
        };
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let mut event = AuditEvent::new(
            self.at,
            &self.visit.gateway.spec.name,
            &self.visit.caller.subject,
            self.server,
            self.tool,
            self.outcome,
        );
        event.install = Some(self.install);
        event.took = self.since.elapsed();
        self.inner.audit.record(&event);
    }
}
