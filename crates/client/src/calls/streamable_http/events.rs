//! Relays a response that is an event stream: notifications pass, the response is converted.

pub(crate) mod converter;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use portolan_core::{BoxError, Result, UpstreamCredential};
use portolan_wire::{envelope::Message, id::RequestId};

use self::converter::EventStreamConverter;
use crate::{
    calls::{
        beginning::Beginning,
        cancel_on_drop::CancelOnDrop,
        in_flight::InFlightCall,
        steps::Step,
        streamable_http::pending_head::{AnswerHead, PendingHead},
        timeout::{CallTimeout, WaitError},
    },
    conversion::Conversion,
    http_server::{HttpServer, resumed_stream::ResumeOutcome},
    http1::{ConnectionError, body::ResponseBody},
    session_ref::UpstreamSessionRef,
};

/// How long the head of a reply is held back, in case the first event is the response.
const HOLD: Duration = Duration::from_secs(5);
/// The waits before an ended stream is resumed, if the server names none: the default and the longest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often in a row a stream without progress is resumed.
const TRIES: u32 = 5;
/// How long to wait for the end of a stream after the response, so that its connection can be reused.
const LINGER: Duration = Duration::from_secs(1);

/// Relays a response that is an event stream. A stream that begins with the response becomes a plain JSON reply.
pub(crate) async fn relay(
    body: ResponseBody,
    http: Arc<HttpServer>,
    credential: &Arc<UpstreamCredential>,
    in_flight: InFlightCall,
) -> Beginning<Box<EventRelay>> {
    let mut relay = EventRelay::new(http, credential, in_flight);
    relay.body = Some(body);
    relay.settle().await
}

/// A server's event stream, on its way to a client.
#[derive(Debug)]
pub(crate) struct EventRelay {
    /// The pending response, if a message of the GET stream came before it.
    head: Option<PendingHead>,
    body: Option<ResponseBody>,
    converter: EventStreamConverter,
    http: Arc<HttpServer>,
    credential: Arc<UpstreamCredential>,
    cancel_on_drop: CancelOnDrop,
    timeout: CallTimeout,
    /// The attempt to resume a stream that ended before its response.
    again: Option<Taking>,
    /// The number of attempts since the server last sent something.
    tries: u32,
    over: bool,
}

/// An attempt to resume a stream.
struct Taking(BoxFuture<'static, ResumeOutcome>);

impl EventRelay {
    fn new(http: Arc<HttpServer>, credential: &Arc<UpstreamCredential>, in_flight: InFlightCall) -> Self {
        let limits = http.limits();
        Self {
            head: None,
            body: None,
            converter: EventStreamConverter::new(in_flight.conversion, limits.held_bytes, limits.message_bytes),
            http,
            credential: credential.clone(),
            cancel_on_drop: in_flight.cancel_on_drop,
            timeout: in_flight.timeout,
            again: None,
            tries: 0,
            over: false,
        }
    }

    /// Returns the relay of a stream that was left, in the state that `in_flight` had when it was sent, from after the
    /// event `from`.
    pub(crate) fn resumed(
        http: Arc<HttpServer>,
        credential: &Arc<UpstreamCredential>,
        in_flight: InFlightCall,
        from: Bytes,
        known: Vec<RequestId>,
    ) -> Self {
        let mut relay = Self::new(http, credential, in_flight);
        relay.converter.begin_again(from.clone());
        relay.converter.knows(known);
        relay.again = relay.cancel_on_drop.take_up(from, Duration::ZERO).map(Taking);
        relay.tries = 1;
        relay
    }

    /// Returns the relay of a call whose response has not begun, while a message of the GET stream came before it.
    pub(crate) fn awaited(
        head: PendingHead,
        http: Arc<HttpServer>,
        credential: &Arc<UpstreamCredential>,
        in_flight: InFlightCall,
        said: Message,
    ) -> Self {
        let mut relay = Self::new(http, credential, in_flight);
        relay.head = Some(head);
        relay.said(said);
        relay
    }

    /// Returns the relay of a JSON body with several messages.
    pub(crate) fn of_batch(
        text: &Bytes,
        http: Arc<HttpServer>,
        credential: &Arc<UpstreamCredential>,
        in_flight: InFlightCall,
    ) -> Self {
        let mut relay = Self::new(http, credential, in_flight);
        relay.converter.whole(text);
        relay.converter.end();
        relay.settle_accounts();
        relay
    }

    /// Leaves a stream that can be resumed: returns its session, the id of its call and its last event. The call goes on
    /// (2025-11-25, basic/transports: a lost connection is no cancellation).
    pub(crate) fn leave(&mut self) -> Option<(UpstreamSessionRef, RequestId, Bytes)> {
        if self.converter.has_output() || self.over {
            return None;
        }
        let left = (
            self.cancel_on_drop.session_ref()?,
            self.converter.conversion().sent.clone(),
            self.converter.taken_up_from()?.clone(),
        );
        if !self.cancel_on_drop.leave() {
            return None;
        }
        self.body = None;
        self.over = true;
        Some(left)
    }

    /// Waits for the first event. If that is the response, no stream is needed.
    pub(crate) async fn settle(mut self) -> Beginning<Box<Self>> {
        match tokio::time::timeout(HOLD, self.first()).await {
            Ok(Err(over)) => {
                self.cancel_on_drop
                    .cancel("the response took too long or is no longer needed");
                return Beginning::Over(over);
            }
            Ok(Ok(())) => {
                if let Some(answer) = self.converter.sole_answer() {
                    self.linger();
                    return Beginning::Whole(answer);
                }
            }
            Err(_) => {}
        }
        Beginning::Relay(Box::new(self))
    }

    pub(crate) fn conversion(&self) -> &Conversion {
        self.converter.conversion()
    }

    pub(crate) fn conversion_mut(&mut self) -> &mut Conversion {
        self.converter.conversion_mut()
    }

    /// Returns the session of the call.
    pub(crate) fn session_ref(&self) -> Option<UpstreamSessionRef> {
        self.cancel_on_drop.session_ref()
    }

    /// Sets whether long events are yielded as a whole.
    pub(crate) fn hold(&mut self, holds: bool) {
        self.converter.hold(holds);
    }

    /// Sends the client's response to a server request.
    pub(crate) fn answer(&mut self, server_request: &RequestId, text: Bytes) {
        self.cancel_on_drop.answer(server_request, text);
    }

    /// Reads until there is something for the client, or nothing will come.
    async fn first(&mut self) -> Result<(), WaitError> {
        while !self.converter.has_output() && !self.over {
            std::future::poll_fn(|cx| self.poll_more(cx)).await?;
        }
        Ok(())
    }

    /// Takes the next step of the server's stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WaitError>> {
        if !self.converter.is_passing()
            && let Poll::Ready(said) = self.cancel_on_drop.poll_said(cx)
        {
            self.timeout.renew();
            self.said(said);
            return Poll::Ready(Ok(()));
        }
        if let Some(head) = &mut self.head {
            if let Poll::Ready(head) = head.poll(cx) {
                self.head = None;
                self.headed(head);
                return Poll::Ready(Ok(()));
            }
        } else if let Some(Taking(again)) = &mut self.again {
            if let Poll::Ready(taken) = again.as_mut().poll(cx) {
                self.again = None;
                self.taken_up(taken);
                return Poll::Ready(Ok(()));
            }
        } else if let Some(body) = &mut self.body {
            if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
                self.take(frame);
                return Poll::Ready(Ok(()));
            }
        } else {
            self.over = true;
            return Poll::Ready(Ok(()));
        }
        self.timeout.poll(cx).map(Err)
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, ConnectionError>>) {
        match frame {
            Some(Ok(frame)) => {
                // Comments and empty events are signs of life, too. A stream that has nothing else is not resumed for ever.
                self.timeout.renew();
                if let Ok(data) = frame.into_data()
                    && self.converter.push(data)
                {
                    self.tries = 0;
                }
            }
            Some(Err(_)) => {
                self.body = None;
                self.take_up(false);
            }
            None => {
                self.body = None;
                self.take_up(true);
            }
        }
        self.settle_accounts();
    }

    /// Takes a message of the GET stream.
    fn said(&mut self, said: Message) {
        if let Some(server_request) = self.converter.beside(said) {
            self.cancel_on_drop.put(&server_request);
        }
        self.settle_accounts();
    }

    fn headed(&mut self, head: Result<AnswerHead>) {
        match head {
            Ok(AnswerHead::Events(body)) => self.body = Some(*body),
            Ok(AnswerHead::Whole(text)) => self.converter.whole(&text),
            Err(error) => self.converter.fail(&error),
        }
        self.settle_accounts();
    }

    /// Sends pending messages to the server, and passes on what does not belong to the call.
    fn settle_accounts(&mut self) {
        for notification in self.converter.foreign() {
            self.http.changes().take(&notification, &self.credential);
        }
        for reply in self.converter.replies() {
            self.cancel_on_drop.reply(reply);
        }
        if self.converter.is_over() {
            self.cancel_on_drop.answered();
            self.over = true;
            self.linger();
        }
    }

    /// Handles the end of the stream. If possible, it is resumed: a server may close it at any time, and let its client
    /// come back (2025-11-25, basic/transports, SEP-1699). If it was `closed` in order, the client is told to come back,
    /// too.
    fn take_up(&mut self, closed: bool) {
        if self.converter.is_over() {
            return;
        }
        let wait = self.converter.retry().unwrap_or(RETRY).min(LONGEST_RETRY);
        let from = self.converter.taken_up_from().filter(|_| self.tries < TRIES).cloned();
        match from.and_then(|from| Some((self.cancel_on_drop.take_up(from.clone(), wait)?, from))) {
            Some((again, from)) => {
                self.tries += 1;
                if closed {
                    self.converter.pause(wait);
                }
                self.converter.begin_again(from);
                self.again = Some(Taking(again));
            }
            None => self.converter.end(),
        }
    }

    fn taken_up(&mut self, taken: ResumeOutcome) {
        match taken {
            ResumeOutcome::Body(body) => self.body = Some(*body),
            ResumeOutcome::NotNow => self.take_up(false),
            ResumeOutcome::Never => self.converter.end(),
        }
        self.settle_accounts();
    }

    /// Reads the end of the server's stream in the background, for a short time.
    fn linger(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        if body.is_end_stream() {
            return;
        }
        self.http.tasks().spawn(async move {
            let drain = async { while let Some(Ok(_)) = body.frame().await {} };
            let _ = tokio::time::timeout(LINGER, drain).await;
        });
    }

    fn give_up(&mut self, over: WaitError) {
        match over {
            WaitError::Timeout(error) => {
                self.cancel_on_drop.cancel("the response took too long");
                self.converter.fail(&error);
            }
            WaitError::Cancelled => self.cancel_on_drop.cancel("the client cancelled the request"),
        }
        self.over = true;
        self.head = None;
        self.body = None;
        self.again = None;
    }
}

impl EventRelay {
    /// Polls for the next step.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        loop {
            if let Some(step) = self.converter.pop() {
                if let Step::ServerRequest(_) = step {
                    // People take longer than programs.
                    self.timeout.allow(self.http.question_time());
                }
                return Poll::Ready(Some(Ok(step)));
            }
            if let Some(fault) = self.converter.broken() {
                self.over = true;
                tracing::warn!(error = %fault, "response broke off");
                return Poll::Ready(Some(Err(fault)));
            }
            if self.over {
                return Poll::Ready(None);
            }
            if let Err(over) = std::task::ready!(self.poll_more(cx)) {
                self.give_up(over);
            }
        }
    }
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taking")
    }
}
