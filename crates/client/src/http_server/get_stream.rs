//! The GET stream of a session at a legacy server (2025-11-25, basic/transports "Listening for Messages").

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portolan_core::{Result, UpstreamCredential};
use portolan_wire::{
    envelope::{self, Incoming, Message},
    header as mcp,
    sse::Decoder,
};
use tokio::time::Sleep;

use crate::{
    backoff::ReconnectBackoff,
    collect::essence,
    http_server::{HttpServer, open_session::OpenSession},
    http1::body::ResponseBody,
};

/// A stream that has lasted this long was a good one: the next wait is a short one.
const LASTED: Duration = Duration::from_secs(10);

/// The GET stream of one session, opened again whenever it ends, from where it ended if the server numbers its events.
pub struct GetStream {
    http: Arc<HttpServer>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    stage: Stage,
    backoff: ReconnectBackoff,
    last_id: Option<HeaderValue>,
    retry: Option<Duration>,
    was_open: bool,
}

/// Something that came of it.
#[derive(Debug)]
pub enum StreamEvent {
    /// The stream is open; with a `gap`, something may have been missed since it was open last.
    Opened {
        /// Whether it is another stream, and not the same one resumed.
        gap: bool,
    },
    /// A message of the server.
    Message(Message),
    /// The server has no such stream.
    Unsupported,
    /// The server does not know the session any more.
    Expired,
}

type Asking = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>>> + Send>>;

enum Stage {
    Asking(Asking),
    Reading(Box<ResponseBody>, Box<Decoder>, tokio::time::Instant),
    Waiting(Pin<Box<Sleep>>),
    FollowEnd,
}

impl GetStream {
    pub fn new(http: &Arc<HttpServer>, open: &Arc<OpenSession>, credential: &Arc<UpstreamCredential>) -> Self {
        let mut stream = Self {
            http: http.clone(),
            open: open.clone(),
            credential: credential.clone(),
            stage: Stage::FollowEnd,
            backoff: ReconnectBackoff::default(),
            last_id: None,
            retry: None,
            was_open: false,
        };
        stream.ask();
        stream
    }

    /// What comes next. Nothing is lost if the future is dropped. After [`StreamEvent::Unsupported`] and [`StreamEvent::Expired`] nothing
    /// comes.
    pub async fn next(&mut self) -> StreamEvent {
        loop {
            match &mut self.stage {
                Stage::FollowEnd => std::future::pending().await,
                Stage::Waiting(sleep) => {
                    sleep.as_mut().await;
                    self.ask();
                }
                Stage::Asking(asking) => {
                    let answered = asking.as_mut().await;
                    if let Some(heard) = self.answered(answered) {
                        return heard;
                    }
                }
                Stage::Reading(..) => {
                    if let Some(message) = self.read().await {
                        return StreamEvent::Message(message);
                    }
                }
            }
        }
    }

    fn ask(&mut self) {
        let (http, request, credential) = (self.http.clone(), self.request(), self.credential.clone());
        self.stage = Stage::Asking(Box::pin(async move { http.send(request?, &credential).await }));
    }

    fn request(&self) -> Result<Box<Request<Bytes>>> {
        let mut headers = self.http.headers_in(&self.open, &self.credential, &HeaderMap::new());
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = &self.last_id {
            headers.insert(mcp::LAST_EVENT_ID, last.clone());
        }
        let mut request = self.http.post(headers, Bytes::new())?;
        *request.method_mut() = Verb::GET;
        Ok(request)
    }

    fn answered(&mut self, answered: Result<Response<ResponseBody>>) -> Option<StreamEvent> {
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "a server's stream cannot be opened");
                self.wait();
                return None;
            }
        };
        let is_events = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| essence(value).eq_ignore_ascii_case("text/event-stream"));
        match response.status() {
            StatusCode::OK if is_events => {
                let decoder = Decoder::new(self.http.limits().held_bytes);
                let body = Box::new(response.into_body());
                self.stage = Stage::Reading(body, Box::new(decoder), tokio::time::Instant::now());
                let gap = std::mem::replace(&mut self.was_open, true) && self.last_id.is_none();
                Some(StreamEvent::Opened { gap })
            }
            StatusCode::NOT_FOUND if self.open.id.is_some() => {
                self.stage = Stage::FollowEnd;
                Some(StreamEvent::Expired)
            }
            // What was resumed is not there any more: the next stream is another one.
            StatusCode::BAD_REQUEST if self.last_id.take().is_some() => {
                self.wait();
                None
            }
            StatusCode::NOT_IMPLEMENTED => self.unsupported(),
            // 409: another stream of this session has not ended yet, says the TypeScript SDK.
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.wait();
                None
            }
            status if status.is_server_error() => {
                self.wait();
                None
            }
            _ => self.unsupported(),
        }
    }

    fn unsupported(&mut self) -> Option<StreamEvent> {
        self.stage = Stage::FollowEnd;
        Some(StreamEvent::Unsupported)
    }

    /// The next message; `None` if the stream is over.
    async fn read(&mut self) -> Option<Message> {
        let Stage::Reading(body, decoder, since) = &mut self.stage else {
            return None;
        };
        loop {
            let next = decoder.next_event();
            if let Ok(Some(event)) = next {
                if let Some(id) = event.id {
                    self.last_id = HeaderValue::try_from(&*id).ok().filter(|_| !id.is_empty());
                }
                self.retry = event.retry.map(Duration::from_millis).or(self.retry);
                let limits = envelope::ParseLimits { depth: 1024, batch: 1 };
                if let Ok(Incoming::One(message)) = envelope::parse(&event.data, &limits) {
                    return Some(message);
                }
                continue;
            }
            if next.is_err() {
                tracing::warn!("an event outside of calls is too large; the stream is opened anew");
                break;
            }
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        decoder.push(data);
                    }
                }
                Some(Err(_)) | None => break,
            }
        }
        // A server that says when to come back has closed the stream on purpose (SEP-1699).
        if since.elapsed() >= LASTED || self.retry.is_some() {
            self.backoff.reset();
        }
        self.wait();
        None
    }

    fn wait(&mut self) {
        let wait = self.backoff.next(self.retry);
        self.stage = Stage::Waiting(Box::pin(tokio::time::sleep(wait)));
    }
}

impl fmt::Debug for GetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetStream")
            .field("server", &self.http.server().name)
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}
