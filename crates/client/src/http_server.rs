//! A server that is reached by streamable HTTP, of either era.

pub(crate) mod get_stream;
pub(crate) mod handshake;
pub(crate) mod headers;
pub(crate) mod probe;
pub(crate) mod refresh;
pub(crate) mod sending;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Response, StatusCode, header};
use portolan_core::{HttpEndpoint, Result, ServerSpec};
use portolan_wire::id::RequestId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::headers::Headers;
use crate::calls::in_flight::InFlightCall;
use crate::calls::streamable_http::{events, json, listening::FirstEvent, prepare::Prepared, refused::Refused};
use crate::calls::timeout::CallTimeout;
use crate::calls::timeout::WaitError;
use crate::client::Client;
use crate::collect::essence;
use crate::config::ClientLimits;
use crate::config::ClientTimeouts;
use crate::eras::EraCache;
use crate::http1::body::ResponseBody;
use crate::http1::pool::ConnectionPool;
use crate::request::Reply;
use crate::request::UpstreamRequest;
use crate::server_info::ServerInfoCell;
use crate::session::pool::SessionPool;

/// A server at a URL.
#[derive(Debug)]
pub struct HttpServer {
    pub(crate) server: Arc<ServerSpec>,
    pub(crate) endpoint: HttpEndpoint,
    /// Where it is, and what is asked for there.
    pub(crate) place: Option<(http::Uri, http::Uri)>,
    pub(crate) connections: Arc<ConnectionPool>,
    pub(crate) headers: Headers,
    pub(crate) client: Client,
    /// What the server says of itself, kept for its link.
    pub(crate) info: Arc<ServerInfoCell>,
    pub(crate) eras: EraCache,
    pub(crate) next_id: AtomicU64,
    pub(crate) sessions: SessionPool,
}

impl HttpServer {
    pub(crate) fn new(
        server: Arc<ServerSpec>,
        endpoint: HttpEndpoint,
        client: Client,
        info: Arc<ServerInfoCell>,
    ) -> Self {
        Self {
            place: sending::place(&endpoint.url),
            connections: Arc::default(),
            headers: Headers::new(&server, &endpoint.url),
            server,
            endpoint,
            client,
            info,
            eras: EraCache::default(),
            next_id: AtomicU64::new(1),
            sessions: SessionPool::default(),
        }
    }

    pub fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    pub(crate) fn limits(&self) -> &ClientLimits {
        &self.client.config().limits
    }

    /// Its entry.
    pub fn server(&self) -> &ServerSpec {
        &self.server
    }

    pub fn tasks(&self) -> &TaskTracker {
        &self.client.background()
    }

    pub(crate) fn timeouts(&self) -> &ClientTimeouts {
        &self.client.config().timeouts
    }

    /// How long a question may be open.
    pub fn question_time(&self) -> Duration {
        self.client.config().timeouts.server_request
    }

    /// What listens to servers.
    pub(crate) fn streams(&self) -> &TaskTracker {
        self.client.streams()
    }

    /// Cancelled when the gateway is gone.
    pub fn ended(&self) -> &CancellationToken {
        &self.client.ended()
    }

    /// What the gateway calls itself.
    pub(crate) fn client_name(&self) -> &str {
        &self.client.config().name
    }

    /// An id that no other request of this gateway to this server has.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId::from_u64(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a request and gives what comes back, in the client's era.
    pub(crate) async fn call(self: &Arc<Self>, request: &UpstreamRequest<'_>) -> Result<Reply> {
        let mut timeout = CallTimeout::of(request, &self.client.config().timeouts);
        let (mut reopened, mut asked_anew) = (false, false);
        loop {
            let Prepared {
                request: http_request,
                conversion,
                cancel_on_drop,
                session,
            } = match timeout.wait(pin!(self.prepare(request))).await {
                Ok(prepared) => prepared?,
                Err(over) => return over_before_answer(over),
            };
            let mut in_flight = Box::new(InFlightCall {
                conversion,
                cancel_on_drop,
                timeout,
            });
            let sent = if in_flight.cancel_on_drop.hears() {
                match Box::pin(self.send_listening(http_request, request, &mut in_flight)).await {
                    Ok(FirstEvent::AnswerHead(head)) => Ok(head),
                    Ok(FirstEvent::Converted(head, said)) => {
                        let relay = events::EventRelay::awaited(head, self.clone(), *in_flight, said);
                        return Box::pin(relay.settle()).await;
                    }
                    Err(over) => Err(over),
                }
            } else {
                in_flight
                    .timeout
                    .wait(pin!(self.send(http_request, request.credential)))
                    .await
            };
            let response = match sent {
                Ok(sent) => sent?,
                Err(over) => return in_flight.give_up(over),
            };
            // The server knows the session no longer, so it has not looked at the call: it may be sent again, once
            // (2025-11-25, basic/transports, session management 4).
            if response.status() == StatusCode::NOT_FOUND
                && !reopened
                && let Some((session, open)) = &session
                && open.id.is_some()
            {
                session.expire(open);
                self.note_forgotten();
                in_flight.cancel_on_drop.answered();
                reopened = true;
                timeout = in_flight.timeout;
                continue;
            }
            if response.status() == StatusCode::OK {
                return self.reply(response, in_flight).await;
            }
            let refused = Box::pin(self.refused(response, &mut in_flight)).await?;
            timeout = in_flight.timeout;
            match refused {
                // The server has not looked at the call, so it may be sent again, once, as it wants it now.
                Refused::OtherVersion(_) if !asked_anew => asked_anew = true,
                Refused::OtherVersion(reply) | Refused::Otherwise(reply) => return Ok(reply),
                Refused::HeaderMismatch(message) => return Ok(Reply::HeaderMismatch(message)),
                Refused::Cancelled => return over_before_answer(WaitError::Cancelled),
            }
        }
    }

    /// Tells by its head what an answer is.
    async fn reply(self: &Arc<Self>, response: Response<ResponseBody>, in_flight: Box<InFlightCall>) -> Result<Reply> {
        let (head, body) = response.into_parts();
        if is(&head.headers, "application/json") {
            let length = head.headers.get(header::CONTENT_LENGTH).is_some();
            return json::relay(body, length, in_flight, self.limits()).await;
        }
        if is_events(&head.headers) {
            return Box::pin(events::relay(body, self.clone(), *in_flight)).await;
        }
        Err(in_flight
            .conversion
            .protocol_error("it answered with something that is neither JSON nor events"))
    }
}

pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    is(headers, "text/event-stream")
}

/// Whether a body is of this type.
fn is(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value == wanted || essence(value).eq_ignore_ascii_case(wanted))
}

/// The end of a wait before there is anything to relay.
pub(crate) fn over_before_answer(over: WaitError) -> Result<Reply> {
    match over {
        WaitError::Timeout(error) => Err(error),
        // To a call that was cancelled there is nothing to say: a stream that ends is all (2025-11-25, basic/cancellation).
        WaitError::Cancelled => Ok(Reply::Cancelled),
    }
}
