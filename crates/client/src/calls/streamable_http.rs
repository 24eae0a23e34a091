//! Calls of a server that is reached by streamable HTTP, of either era.

pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod listening;
pub(crate) mod pending_head;
pub(crate) mod prepare;
pub(crate) mod resume;
pub(crate) mod retry;

use std::{pin::pin, sync::Arc};

use http::{Response, StatusCode, header};
use portolan_core::{Result, UpstreamCredential};

use self::{json::JsonBeginning, listening::FirstEvent, retry::Refused};
use crate::{
    calls::{
        events::Events,
        in_flight::InFlightCall,
        reply::{Reply, over_before_answer},
        timeout::{CallTimeout, WaitError},
    },
    capabilities::ClientCapabilities,
    collect::{is_events, is_of_type},
    era_cache::legacy_version,
    http_server::HttpServer,
    http1::body::ResponseBody,
    request::UpstreamRequest,
    session::pool::SessionPool,
};

/// A server at a URL, with the sessions of its calls.
#[derive(Debug)]
pub(crate) struct HttpUpstream {
    http: Arc<HttpServer>,
    sessions: Arc<SessionPool>,
}

impl HttpUpstream {
    pub(crate) fn new(http: HttpServer) -> Self {
        let http = Arc::new(http);
        Self {
            sessions: Arc::new(SessionPool::new(http.clone())),
            http,
        }
    }

    /// The server itself.
    pub(crate) fn http(&self) -> &Arc<HttpServer> {
        &self.http
    }

    /// Asks the server for information about itself: by a probe, or by the handshake of the internal session.
    pub(crate) async fn introduce(&self, credential: &Arc<UpstreamCredential>) -> Result<()> {
        let eras = self.http.eras(credential).await?;
        if self.http.info().get().is_some() {
            return Ok(());
        }
        if eras.modern {
            self.http.probe(credential).await?;
            return Ok(());
        }
        let session = self
            .sessions
            .take(None, credential, ClientCapabilities::NONE, None)
            .session;
        let version = legacy_version(None, &eras.legacy_versions);
        let opened = session.get(async || {
            Box::pin(
                self.http
                    .handshake(version, credential, ClientCapabilities::NONE.to_json()),
            )
            .await
        });
        opened.await.map(drop)
    }

    /// Sends a request and returns the reply in the client's era.
    pub(crate) async fn call(&self, request: &UpstreamRequest<'_>) -> Result<Reply> {
        let mut timeout = CallTimeout::of(request, self.http.timeouts());
        let (mut reopened, mut asked_anew) = (false, false);
        loop {
            let prepared = match timeout.wait(pin!(self.prepare(request))).await {
                Ok(prepared) => prepared?,
                Err(over) => return over_before_answer(over),
            };
            let (http_request, session, mut in_flight) = prepared.with(timeout);
            let sent = if in_flight.cancel_on_drop.hears() {
                match Box::pin(self.send_listening(http_request, request, &mut in_flight)).await {
                    Ok(FirstEvent::AnswerHead(head)) => Ok(head),
                    Ok(FirstEvent::Converted(head, said)) => {
                        let relay =
                            events::EventRelay::awaited(head, self.http.clone(), request.credential, *in_flight, said);
                        return Reply::begun(Box::pin(relay.settle()).await, events_reply);
                    }
                    Err(over) => Err(over),
                }
            } else {
                in_flight
                    .timeout
                    .wait(pin!(self.http.send(http_request, request.credential)))
                    .await
            };
            let response = match sent {
                Ok(sent) => sent?,
                Err(over) => return over_before_answer(in_flight.give_up(over)),
            };
            if response.status() == StatusCode::OK {
                return self.reply(response, request.credential, in_flight).await;
            }
            let session = session.as_ref().filter(|_| !reopened);
            let refused = Box::pin(self.refused(request, response, &mut in_flight, session)).await?;
            timeout = in_flight.timeout;
            match refused {
                // Nor has a server that knows no such session (2025-11-25, basic/transports, session management 4).
                Refused::Forgotten => reopened = true,
                // The server has not processed the call, so it may be sent again, once, in the other version.
                Refused::OtherVersion(_) if !asked_anew => asked_anew = true,
                Refused::OtherVersion(reply) | Refused::Otherwise(reply) => return Ok(reply),
                Refused::HeaderMismatch(message) => return Ok(Reply::HeaderMismatch(message)),
                Refused::Cancelled => return over_before_answer(WaitError::Cancelled),
            }
        }
    }

    /// Tells by the head what a response is.
    async fn reply(
        &self,
        response: Response<ResponseBody>,
        credential: &Arc<UpstreamCredential>,
        in_flight: Box<InFlightCall>,
    ) -> Result<Reply> {
        let (head, body) = response.into_parts();
        if is_of_type(&head.headers, "application/json") {
            let length = head.headers.get(header::CONTENT_LENGTH).is_some();
            return match json::relay(body, length, in_flight, self.http.limits()).await? {
                JsonBeginning::Reply(beginning) => Reply::begun(beginning, Reply::Json),
                JsonBeginning::Batch(text, in_flight) => {
                    let relay = events::EventRelay::of_batch(&text, self.http.clone(), credential, *in_flight);
                    Reply::begun(Box::pin(relay.settle()).await, events_reply)
                }
            };
        }
        if is_events(&head.headers) {
            let beginning = Box::pin(events::relay(body, self.http.clone(), credential, *in_flight)).await;
            return Reply::begun(beginning, events_reply);
        }
        Err(in_flight
            .conversion
            .protocol_error("its response is neither JSON nor an event stream"))
    }
}

/// The reply that goes on with what is relayed.
fn events_reply(relay: Box<events::EventRelay>) -> Reply {
    Reply::Events(Events::http(relay))
}
