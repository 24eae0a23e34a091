//! The GET stream of a session at a legacy server (2025-11-25, basic/transports "Listening for Messages").

use std::{collections::VecDeque, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portolan_core::{Backoff, Result, UpstreamCredential};
use portolan_wire::{
    envelope::{self, Message},
    header as mcp,
    sse::Decoder,
};
use tokio::time::Sleep;

use crate::{
    collect::essence,
    http_server::{HttpServer, open_session::OpenSession},
    http1::body::ResponseBody,
};

/// A stream that has lasted this long resets the backoff.
const LASTED: Duration = Duration::from_secs(10);
/// The first and the longest wait before the stream is opened again.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The GET stream of one session. It is opened again whenever it ends: from where it ended, if the server numbers its
/// events.
pub struct GetStream {
    http: Arc<HttpServer>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    stage: Stage,
    backoff: Backoff,
    last_id: Option<HeaderValue>,
    retry: Option<Duration>,
    was_open: bool,
    /// Messages that came together and were not returned yet.
    waiting: VecDeque<Message>,
}

/// An event of a GET stream.
#[derive(Debug)]
pub enum StreamEvent {
    /// The stream is open.
    Opened {
        /// `true` if messages may have been missed: this is another stream, not the same one resumed.
        gap: bool,
    },
    /// A message of the server.
    Message(Message),
    /// The server has no GET stream.
    Unsupported,
    /// The server has forgotten the session.
    Expired,
}

type Asking = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>>> + Send>>;
type Checking = Pin<Box<dyn Future<Output = bool> + Send>>;

enum Stage {
    Asking(Asking),
    /// The server has refused the stream as it would refuse an unknown session.
    Checking(Checking),
    Reading(Box<ResponseBody>, Box<Decoder>, tokio::time::Instant),
    Waiting(Pin<Box<Sleep>>),
    FollowEnd,
}

impl GetStream {
    /// Creates the GET stream of a session, and starts to open it once it is [read](Self::next).
    ///
    /// A [`SessionStreamReader`](crate::SessionStreamReader) gets the arguments:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_client::{
    ///     Conversation, HttpServer, OpenSession, ProtocolVersion, SessionStreamReader, StreamOpening, UpstreamCredential,
    ///     notifications::{GetStream, StreamEvent},
    /// };
    /// use tokio::sync::oneshot;
    ///
    /// /// Prints the messages of the streams.
    /// #[derive(Debug)]
    /// struct Printer;
    ///
    /// impl SessionStreamReader for Printer {
    ///     fn follow(
    ///         &self,
    ///         server: &Arc<HttpServer>,
    ///         session: &Arc<OpenSession>,
    ///         credential: &Arc<UpstreamCredential>,
    ///     ) -> Option<StreamOpening> {
    ///         let mut stream = session.follow().then(|| GetStream::new(server, session, credential))?;
    ///         let (sender, opening) = oneshot::channel();
    ///         let mut sender = Some(sender);
    ///         tokio::spawn(async move {
    ///             loop {
    ///                 match stream.next().await {
    ///                     StreamEvent::Opened { .. } => drop(sender.take().map(|sender| sender.send(()))),
    ///                     StreamEvent::Message(message) => println!("{message:?}"),
    ///                     StreamEvent::Unsupported | StreamEvent::Expired => break,
    ///                 }
    ///             }
    ///         });
    ///         Some(opening)
    ///     }
    /// }
    ///
    /// let conversation = Conversation::new("session 1", ProtocolVersion::V2025_11_25);
    /// conversation.read_streams_with(Arc::new(Printer));
    /// ```
    pub fn new(http: &Arc<HttpServer>, open: &Arc<OpenSession>, credential: &Arc<UpstreamCredential>) -> Self {
        let mut stream = Self {
            http: http.clone(),
            open: open.clone(),
            credential: credential.clone(),
            stage: Stage::FollowEnd,
            backoff: Backoff::new(WAITS.0, WAITS.1),
            last_id: None,
            retry: None,
            was_open: false,
            waiting: VecDeque::new(),
        };
        stream.ask();
        stream
    }

    /// Returns the next event. Dropping the future loses nothing. Never completes after [`StreamEvent::Unsupported`] and
    /// [`StreamEvent::Expired`].
    pub async fn next(&mut self) -> StreamEvent {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return StreamEvent::Message(message);
            }
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
                Stage::Checking(checking) => {
                    let refused = checking.as_mut().await;
                    self.stage = Stage::FollowEnd;
                    return if refused {
                        StreamEvent::Expired
                    } else {
                        StreamEvent::Unsupported
                    };
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
                tracing::debug!(%error, "GET stream not opened");
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
            // The server no longer has the stream to resume: the next one is new.
            StatusCode::BAD_REQUEST if self.last_id.take().is_some() => {
                self.wait();
                None
            }
            // Some servers refuse a session with it that they do not know.
            StatusCode::BAD_REQUEST | StatusCode::GONE if self.open.id.is_some() => {
                let (http, open, credential) = (self.http.clone(), self.open.clone(), self.credential.clone());
                let checking = async move { http.refuses_session(&open, &credential).await };
                self.stage = Stage::Checking(Box::pin(checking));
                None
            }
            StatusCode::NOT_IMPLEMENTED => self.unsupported(),
            // 409: another stream of this session is still open (TypeScript SDK).
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

    /// Returns the next message; `None` at the end of the stream.
    async fn read(&mut self) -> Option<Message> {
        let Stage::Reading(body, decoder, since) = &mut self.stage else {
            return None;
        };
        loop {
            let next = decoder.next_event();
            if let Ok(Some(event)) = next {
                if let Some(id) = &event.id {
                    self.last_id = HeaderValue::try_from(&**id).ok().filter(|_| !id.is_empty());
                }
                self.retry = event.retry.map(Duration::from_millis).or(self.retry);
                let limits = envelope::ParseLimits {
                    depth: 1024,
                    batch: 1024,
                };
                if event.is_message()
                    && let Ok(incoming) = envelope::parse(&event.data, &limits)
                {
                    self.waiting.extend(incoming.into_messages());
                    if let Some(message) = self.waiting.pop_front() {
                        return Some(message);
                    }
                }
                continue;
            }
            if next.is_err() {
                tracing::warn!("event too large");
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
        // A server that says when to reconnect has closed the stream on purpose (SEP-1699).
        if since.elapsed() >= LASTED || self.retry.is_some() {
            self.backoff.reset();
        }
        self.wait();
        None
    }

    fn wait(&mut self) {
        let wait = match self.retry {
            Some(asked) => self.backoff.next_delay_at_request(asked),
            None => self.backoff.next_delay(),
        };
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
