//! Clients of 2025-11-25 and older: a handshake, then a session.

use std::{collections::HashSet, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use portolan_client::{
    ClientCapabilities,
    collect::{self, CollectError},
    failure,
};
use portolan_core::Error;
use portolan_wire::{
    envelope::{self, Message, Notification, Request},
    era::{Era, NamedVersion, ProtocolVersion},
    error::{self, ErrorObject},
    header,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use super::Protocol;
use crate::{
    body::Body,
    client_software::{self, ClientSoftware},
    edge,
    relay::{CallFuture, Relay},
    relay_request::ClientRequest,
    replay::RequestRef,
    replicas::Notice,
    reply::{self, Rejection},
    routing::RequestContext,
    sessions::Session,
};

impl Protocol {
    /// Handles `initialize`: negotiates a version and opens a session.
    pub(super) fn initialize(
        &self,
        context: &RequestContext,
        request: &Request,
        requested: &NamedVersion,
    ) -> Result<Response<Body>, Rejection> {
        let id = &request.id;
        let served = |version: &ProtocolVersion| version.era() == Era::Legacy && self.config.versions.contains(version);
        let newest = || self.config.versions.iter().copied().filter(served).max();
        let Some(version) = requested.known().filter(served).or_else(newest) else {
            let error = ErrorObject::unsupported_version(&self.config.versions, requested.as_str());
            return Err(Rejection::new(StatusCode::BAD_REQUEST, error).with_id(Some(id.clone())));
        };
        let said = params(request.params.as_ref()).ok();
        if let Some(problem) = said.as_ref().and_then(handshake_problem) {
            let error = ErrorObject::invalid_params(problem);
            let status = error::http_status(error.code, Era::Legacy);
            return Err(Rejection::new(status, error).with_id(Some(id.clone())));
        }
        let capabilities = said.as_ref().and_then(|params| params.get("capabilities"));
        let extensions = capabilities.and_then(super::capabilities::relayed_extensions);
        let capabilities = capabilities.map_or(ClientCapabilities::NONE, ClientCapabilities::read);
        let client = said
            .as_ref()
            .and_then(|params| client_software::name_in(params.get("clientInfo")?).map(Arc::from));
        let gateway = &context.gateway.spec.name;
        let opened = self
            .sessions
            .open(gateway, &context.caller, version, capabilities, client, extensions);
        let session = opened
            .ok()
            .and_then(|session| HeaderValue::try_from(session).ok())
            .ok_or_else(|| {
                Rejection::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    ErrorObject::internal("no session could be opened"),
                )
            })?;
        let mut result = RawObject::new();
        result.set("protocolVersion", object::quote(version.as_str()));
        result.set("capabilities", self.legacy_capabilities(context, version));
        result.set("serverInfo", self.config.server_info());
        if let Some(instructions) = self.instructions(context) {
            result.set("instructions", instructions);
        }
        let mut response = reply::json(StatusCode::OK, envelope::result(id, &result.to_bytes()));
        response.headers_mut().insert(header::SESSION_ID, session);
        Ok(response)
    }

    /// Handles a message of a session.
    pub(super) async fn serve_legacy(
        &self,
        context: &Arc<RequestContext>,
        message: Message,
        params: RawObject,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let session = self
            .session(context)
            .await
            .map_err(|refused| refused.with_id(message.id().cloned()))?;
        match message {
            Message::Request(request) => {
                let request_ref = RequestRef::of(&request);
                let response = self.legacy_request(context, &session, request, params, text).await?;
                Ok(self.replays.keep(session.stream_session(), request_ref, response))
            }
            Message::Notification(notification) => {
                self.on_notification(&session, &notification).await;
                Ok(reply::accepted())
            }
            Message::Response(response) => {
                let delivered = self.server_requests.take_response(context, &session, response, text);
                Box::pin(delivered).await
            }
        }
    }

    /// Handles a batch, which only 2025-03-26 has: all messages concurrently, answered in one array.
    pub(crate) async fn serve_batch(
        &self,
        context: &Arc<RequestContext>,
        batch: Vec<Message>,
    ) -> Result<Response<Body>, Rejection> {
        let none = "batches exist only in protocol version 2025-03-26";
        if context.headers.get(header::SESSION_ID).is_none() {
            return Err(Rejection::http(StatusCode::BAD_REQUEST, none));
        }
        let session = self.session(context).await?;
        if session.version != ProtocolVersion::V2025_03_26 {
            return Err(Rejection::http(StatusCode::BAD_REQUEST, none));
        }
        // Duplicate ids are rejected up front, so that the result does not depend on timing.
        let mut ids = HashSet::new();
        let answers = join_all(batch.into_iter().map(|message| {
            let twice = match &message {
                Message::Request(request) if !ids.insert(request.id.clone()) => Some(request.id.clone()),
                _ => None,
            };
            let session = &session;
            async move {
                match twice {
                    None => self.batched(context, session, message).await,
                    Some(id) => {
                        let error = Error::invalid("id", "appears twice in this batch");
                        Some(envelope::error(Some(&id), &failure::error_object(&error)))
                    }
                }
            }
        }))
        .await;
        let answers: Vec<Bytes> = answers.into_iter().flatten().collect();
        if answers.is_empty() {
            return Ok(reply::accepted());
        }
        let mut array = BytesMut::from("[".as_bytes());
        for (at, answer) in answers.iter().enumerate() {
            if at > 0 {
                array.extend_from_slice(b",");
            }
            array.extend_from_slice(answer);
        }
        array.extend_from_slice(b"]");
        Ok(reply::json(StatusCode::OK, array.freeze()))
    }

    /// Handles `DELETE`: ends the session and its upstream sessions.
    pub(crate) async fn end_session(&self, context: &RequestContext) -> Result<Response<Body>, Rejection> {
        let session = self.session(context).await?;
        self.sessions.end(&session).await.map_err(|error| {
            tracing::warn!(%error, "a session cannot be ended");
            Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorObject::internal("the session cannot be ended; try again"),
            )
        })?;
        self.replicas.publish(&Notice::Ended(session.name())).await;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    pub(super) async fn session(&self, context: &RequestContext) -> Result<Arc<Session>, Rejection> {
        let id = session_id(&context.headers)?;
        match self
            .sessions
            .find(id, &context.gateway.spec.name, &context.caller)
            .await
        {
            Ok(Some(session)) => Ok(session),
            Ok(None) => Err(Rejection::http(
                StatusCode::NOT_FOUND,
                "no such session; initialize again",
            )),
            Err(error) => {
                tracing::warn!(%error, "the session store is unavailable");
                let error = ErrorObject::internal("the session store is unavailable; try again");
                Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error))
            }
        }
    }

    async fn legacy_request(
        &self,
        context: &Arc<RequestContext>,
        session: &Arc<Session>,
        request: Request,
        params: RawObject,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let id = Some(request.id.clone());
        let refuse =
            |error: ErrorObject| Rejection::new(error::http_status(error.code, Era::Legacy), error).with_id(id.clone());
        let result = match request.method {
            method if is_relayed(&method, session) => {
                let call = Box::new(ClientRequest {
                    id: request.id,
                    method,
                    params,
                    text,
                    capabilities: None,
                    log: None,
                    client: session.client.clone().map(ClientSoftware::Named),
                });
                let calling = || Relay::call(self.relay.clone(), context.clone(), Some(session.clone()), call);
                let work = CallFuture::begin(&self.relay, calling, Some(&self.background));
                return match self.replays.stream_after(session.stream_session()) {
                    Some(after) => work.streaming_after(after).await,
                    None => work.await,
                };
            }
            Method::Ping => Bytes::from_static(b"{}"),
            Method::ToolsList | Method::PromptsList | Method::ResourcesList | Method::ResourceTemplatesList => {
                let listing = self.lists.list(context, session.version, &request.method, &params);
                Box::pin(listing).await.map_err(refuse)?
            }
            Method::TasksList if session.has_tasks() => Box::pin(self.tasks.list(context, session, &params))
                .await
                .map_err(refuse)?,
            Method::ResourcesSubscribe => Box::pin(self.subscriptions.subscribe(context, session, &params))
                .await
                .map_err(refuse)?,
            Method::ResourcesUnsubscribe => Box::pin(self.subscriptions.unsubscribe(context, session, &params))
                .await
                .map_err(refuse)?,
            Method::SetLevel => Box::pin(self.subscriptions.set_level(context, session, &params))
                .await
                .map_err(refuse)?,
            other => return Err(refuse(ErrorObject::method_not_found(other.as_str()))),
        };
        Ok(reply::of_our_own(
            &context.headers,
            envelope::result(&request.id, &result),
        ))
    }

    /// Handles `notifications/cancelled`; others have no effect. A call that is not in flight here may be on another
    /// replica.
    async fn on_notification(&self, session: &Session, notification: &Notification) {
        if notification.method != Method::Cancelled {
            return;
        }
        let params = notification
            .params
            .as_ref()
            .and_then(|params| RawObject::parse(params).ok());
        let id = params.and_then(|params| RequestId::parse(params.get("requestId")?).ok());
        if let Some(id) = id
            && !self.sessions.cancel(session, &id)
        {
            self.replicas.publish(&Notice::Cancel(session.name(), id)).await;
        }
    }

    async fn batched(&self, context: &Arc<RequestContext>, session: &Arc<Session>, message: Message) -> Option<Bytes> {
        if let Err(refused) = edge::check_id(&message) {
            return Some(refused.message());
        }
        match message {
            Message::Response(response) => {
                // A batch has one response; the error of a single response in it cannot be reported.
                let text = match &response.outcome {
                    envelope::Outcome::Result(raw) => envelope::result(response.id.as_ref()?, raw),
                    envelope::Outcome::Error(raw) => envelope::error(response.id.as_ref(), &ErrorObject::parse(raw)?),
                };
                let _ = Box::pin(self.server_requests.take_response(context, session, response, text)).await;
                None
            }
            Message::Notification(notification) => {
                self.on_notification(session, &notification).await;
                None
            }
            Message::Request(request) => {
                let id = request.id.clone();
                let params = match params(request.params.as_ref()) {
                    Ok(params) => params,
                    Err(error) => return Some(envelope::error(Some(&id), &error)),
                };
                let text = envelope::request(&id, &request.method, request.params.as_deref());
                Some(
                    match self.legacy_request(context, session, request, params, text).await {
                        Err(rejection) => rejection.message(),
                        Ok(response) => match collect(response, self.config.limits.held_bytes).await {
                            Ok(answer) => return answer,
                            Err(_) => envelope::error(Some(&id), &ErrorObject::internal("the response was cut off")),
                        },
                    },
                )
            }
        }
    }
}

/// Returns what is wrong with the params of `initialize` (2025-11-25, basic/lifecycle).
fn handshake_problem(params: &RawObject) -> Option<&'static str> {
    let is_object = |name: &str| params.get(name).is_some_and(|raw| raw.starts_with(b"{"));
    if !is_object("capabilities") {
        return Some("initialize needs capabilities, an object");
    }
    let client = params
        .get("clientInfo")
        .and_then(|raw| RawObject::parse_checked(raw).ok());
    let is_text = |name: &str| {
        let client = client.as_ref()?;
        client.get(name)?.starts_with(b"\"").then_some(())
    };
    let is_named = is_text("name").is_some() && is_text("version").is_some();
    (!is_named).then_some("initialize needs clientInfo, an object with name and version")
}

/// Returns whether a server answers this method.
fn is_relayed(method: &Method, session: &Session) -> bool {
    match method {
        Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead | Method::Complete | Method::Other(_) => true,
        Method::TasksGet | Method::TasksResult | Method::TasksCancel => session.has_tasks(),
        _ => false,
    }
}

/// Returns the message of a response without its notifications; `None` for a cancelled call.
async fn collect(response: Response<Body>, limit: usize) -> Result<Option<Bytes>, CollectError> {
    if reply::is_stream(&response) {
        collect::last_response(response.into_body(), limit).await
    } else {
        collect::body(response.into_body(), limit).await.map(Some)
    }
}

fn session_id(headers: &HeaderMap) -> Result<&str, Rejection> {
    match header::single(headers, &header::SESSION_ID) {
        Ok(Some(value)) => value
            .to_str()
            .map_err(|_| Rejection::http(StatusCode::NOT_FOUND, "no such session; initialize again")),
        Ok(None) => Err(Rejection::http(
            StatusCode::BAD_REQUEST,
            "mcp-session-id is missing; initialize first",
        )),
        Err(fault) => Err(Rejection::http(StatusCode::BAD_REQUEST, fault.to_string())),
    }
}

fn params(raw: Option<&Bytes>) -> Result<RawObject, ErrorObject> {
    match raw {
        None => Ok(RawObject::new()),
        Some(raw) => RawObject::parse_checked(raw).map_err(|fault| ErrorObject::invalid_params(fault.to_string())),
    }
}
