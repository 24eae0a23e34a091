//! A call that outlives its request: all that is needed to go on with it.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderMap;
use portolan_core::{Error, Failure, FailureKind, InstallName, Result, UpstreamCredential};
use portolan_wire::{
    envelope::Outcome, era::Era, header::ParamHeader, id::RequestId, level::LogLevel, meta, method::Method,
    object::RawObject,
};

use super::{ClientCapabilities, generated_body::GeneratedBody, legacy, modern, token::RequestState};
use crate::{
    cancellation::Cancellation,
    config::Timeouts,
    reply,
    request_context::RequestContext,
    routes::InstallRoute,
    seal::Purpose,
    service::Inner,
    session::{Session, bind},
    tasks::{self, TaskIds},
    upstream::{Reply, Requester, UpstreamRequest, UpstreamServer},
};

/// A call, and whose it is.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) inner: Arc<Inner>,
    pub(crate) context: Arc<RequestContext>,
    pub(super) session: Option<(Arc<Session>, Cancellation)>,
    pub(super) install: InstallName,
    pub(crate) link: Arc<UpstreamServer>,
    pub(crate) credential: Arc<UpstreamCredential>,
    pub(super) id: RequestId,
    pub(super) method: Method,
    /// With names as the server knows them.
    pub(super) params: RawObject,
    pub(crate) asks: ClientCapabilities,
    declared: Option<Bytes>,
    log: Option<LogLevel>,
    odd_output: bool,
    tasks: Option<Arc<TaskIds>>,
    mirrored: Vec<ParamHeader>,
    passthrough: HeaderMap,
}

/// Goes on with a call whose reply concerns its client before it is over; any other passes.
pub(crate) async fn carry_on(
    inner: &Arc<Inner>,
    context: &Arc<RequestContext>,
    mounted: &InstallRoute,
    outgoing: &UpstreamRequest<'_>,
    reply: Reply,
) -> Result<Reply> {
    match &reply {
        Reply::InputRequired(_) | Reply::Task(_) => {}
        Reply::Events(events) if events.may_ask() => {}
        _ => return Ok(reply),
    }
    let pending = PendingCall::of(inner, context, mounted, outgoing);
    match (pending.era(), reply) {
        (Era::Legacy, reply) => Ok(Reply::Stream(GeneratedBody::begin(|writer| {
            legacy::generate(pending, reply, writer)
        }))),
        (Era::Modern, Reply::InputRequired(asked)) => pending.wrap(asked, 1).map(Reply::Message),
        (Era::Modern, Reply::Task(task)) => Ok(modern::await_task(pending, task)),
        (Era::Modern, Reply::Events(events)) => Ok(modern::listen(pending, events.into())),
        (_, reply) => Ok(reply),
    }
}

impl PendingCall {
    pub(super) fn of(
        inner: &Arc<Inner>,
        context: &Arc<RequestContext>,
        mounted: &InstallRoute,
        outgoing: &UpstreamRequest<'_>,
    ) -> Self {
        let session = match outgoing.client {
            Requester::Legacy { session, cancelled } => Some((session.clone(), cancelled.clone())),
            _ => None,
        };
        Self {
            inner: inner.clone(),
            context: context.clone(),
            session,
            install: mounted.install.name,
            link: mounted.upstream.clone(),
            credential: outgoing.credential.clone(),
            id: outgoing.id.clone(),
            method: outgoing.method.clone(),
            params: outgoing.params.clone(),
            asks: outgoing.asks,
            declared: outgoing.declared.clone(),
            log: outgoing.client.level(),
            odd_output: outgoing.odd_output,
            tasks: outgoing.tasks.clone(),
            mirrored: outgoing.mirrored.to_vec(),
            passthrough: outgoing.passthrough.clone(),
        }
    }

    pub(super) fn era(&self) -> Era {
        if self.session.is_some() {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    /// The request as it is sent, or sent again, with these params.
    pub(super) fn outgoing(&self, params: RawObject) -> UpstreamRequest<'_> {
        let client = match &self.session {
            Some((session, cancelled)) => Requester::Legacy { session, cancelled },
            None => Requester::Modern {
                caller: &self.context.caller,
                gateway: &self.context.gateway.spec.name,
                log: self.log,
            },
        };
        UpstreamRequest {
            client,
            id: self.id.clone(),
            method: self.method.clone(),
            params,
            unchanged: None,
            declared: self.declared.clone(),
            asks: self.asks,
            odd_output: self.odd_output,
            uris: self.context.gateway.spec.resource_naming,
            tasks: self.tasks.clone(),
            mirrored: &self.mirrored,
            credential: &self.credential,
            passthrough: self.passthrough.clone(),
        }
    }

    /// Makes the call, or makes it again, with these params.
    pub(super) async fn call(&self, params: RawObject) -> Result<Reply> {
        let outgoing = self.outgoing(params);
        match self.link.call(&outgoing).await? {
            Reply::TaskRequired(_) if self.inner.drives(self.era()) => tasks::call_as_task(&self.link, outgoing).await,
            reply => Ok(reply),
        }
    }

    /// What a server has answered otherwise than to the call itself, as its client is told it.
    pub(crate) fn told(&self, outcome: &Outcome) -> Bytes {
        let told = self.link.told(&self.outgoing(RawObject::new()), outcome);
        told.unwrap_or_else(|error| self.failure(&error))
    }

    /// The message that says that there is no answer.
    pub(crate) fn failure(&self, error: &Error) -> Bytes {
        reply::no_answer(self.era(), self.method == Method::ToolsCall, &self.id, error)
    }

    /// The server did what it must not.
    pub(crate) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        self.link.failed(failure)
    }

    /// Who may come back to this call, and where.
    pub(super) fn bound_to(&self) -> [u8; 16] {
        bind(&self.context.gateway.spec.name, &self.context.caller)
    }

    /// What is asked: the method and the params, apart from what differs when the call is made again. Members may come in
    /// another order then.
    pub(super) fn digest(&self) -> [u8; 16] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.method.as_str().as_bytes());
        let mut members: Vec<_> = self
            .params
            .iter()
            .filter(|(key, _)| !matches!(&**key, meta::META | "inputResponses" | "requestState"))
            .collect();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, raw) in members {
            hash.update(&[0]);
            hash.update(key.as_bytes());
            hash.update(&[0]);
            // A map of serde_json's is sorted by its keys.
            match serde_json::from_slice::<serde_json::Value>(raw).and_then(|value| serde_json::to_vec(&value)) {
                Ok(canonical) => hash.update(&canonical),
                Err(_) => hash.update(raw),
            }
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finish().as_ref()[..16]);
        digest
    }

    pub(super) fn seal(&self, state: &RequestState) -> Result<String> {
        self.inner.keys.seal(Purpose::State, &state.encode())
    }

    pub(crate) fn now(&self) -> i64 {
        self.inner.clock.now().as_second()
    }

    pub(super) fn expiry(&self) -> i64 {
        let good_for = self.inner.config.timeouts.state;
        self.now()
            .saturating_add(i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX / 2))
    }

    pub(super) fn question_time(&self) -> Duration {
        self.inner.config.timeouts.server_request
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.inner.config.timeouts
    }

    /// How often a call may ask its client.
    pub(crate) fn rounds(&self) -> usize {
        self.inner.config.limits.rounds
    }

    /// Headers of the client that are passed on.
    pub(crate) fn passthrough(&self) -> HeaderMap {
        self.passthrough.clone()
    }
}
