//! An answer that is a stream of events: notifications pass, the response is converted.

mod machine;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use portolan_core::{BoxError, Result};
use portolan_wire::{
    envelope::{self, Message, Outcome},
    id::RequestId,
    sse,
};

use self::machine::Machine;
use super::{
    Events, Reply, Step,
    cancel::Unanswered,
    connection::{Driven, Fault},
    convert::Conversion,
    http::{Head, Heading, HttpUpstream, TakenUp, over_before_answer},
    json,
    patience::{Over, Patience},
    underway::Underway,
};
use crate::{
    intake::{self, essence},
    question::Seat,
};

/// How long the head of a reply is held back to see whether the first event is the answer.
const HOLD: Duration = Duration::from_secs(5);
/// How long a stream that has ended is left alone, where its server does not say; and at most.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often it is tried to take a stream up again, of which nothing more comes.
const TRIES: u32 = 5;
/// How long the end of a stream is waited for after the answer, so that its connection can be used again.
const LINGER: Duration = Duration::from_secs(1);

/// Relays an answer that comes as events. A stream that begins with the answer becomes a plain JSON reply.
pub(crate) async fn relay(body: Driven, http: Arc<HttpUpstream>, underway: Underway) -> Result<Reply> {
    let mut relay = EventRelay::new(http, underway);
    relay.body = Some(body);
    relay.settle().await
}

/// The one message that answers a small request, of a JSON body or an event stream.
pub(crate) async fn message(headers: &HeaderMap, mut body: Driven, limit: usize) -> Option<Bytes> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !essence(content_type).eq_ignore_ascii_case("text/event-stream") {
        return intake::collect(body, limit).await.ok();
    }
    let mut decoder = sse::Decoder::new(limit);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            decoder.push(data);
        }
        while let Some(event) = decoder.next_event().ok()? {
            if outcome(&event.data).is_some() {
                return Some(event.data);
            }
        }
    }
    None
}

/// What a response says.
pub(crate) fn outcome(text: &Bytes) -> Option<Outcome> {
    match envelope::parse(text, &envelope::ParseLimits { depth: 1024, batch: 1 }) {
        Ok(envelope::Incoming::One(Message::Response(response))) => Some(response.outcome),
        _ => None,
    }
}

/// A server's stream of events, on its way to a client.
#[derive(Debug)]
pub(crate) struct EventRelay {
    /// The answer, where something was heard before it.
    head: Option<Heading>,
    body: Option<Driven>,
    machine: Machine,
    http: Arc<HttpUpstream>,
    unanswered: Unanswered,
    patience: Patience,
    /// A stream that ended before its answer, while it is taken up again.
    again: Option<Taking>,
    /// How often that was tried since the server was last heard.
    tries: u32,
    over: bool,
}

/// A stream on its way back.
struct Taking(BoxFuture<'static, TakenUp>);

impl EventRelay {
    fn new(http: Arc<HttpUpstream>, underway: Underway) -> Self {
        let limits = http.limits();
        Self {
            head: None,
            body: None,
            machine: Machine::new(underway.conversion, limits.held_bytes, limits.message_bytes),
            http,
            unanswered: underway.unanswered,
            patience: underway.patience,
            again: None,
            tries: 0,
            over: false,
        }
    }

    /// A stream that was left, as `underway` was when it was sent, from after the event `from`.
    pub(super) fn left(http: Arc<HttpUpstream>, underway: Underway, from: Bytes, known: Vec<RequestId>) -> Self {
        let mut relay = Self::new(http, underway);
        relay.machine.begin_again(from.clone());
        relay.machine.knows(known);
        relay.again = relay.unanswered.take_up(from, Duration::ZERO).map(Taking);
        relay.tries = 1;
        relay
    }

    /// An answer whose head is not there yet, while something was said beside it.
    pub(super) fn awaited(head: Heading, http: Arc<HttpUpstream>, underway: Underway, said: Message) -> Self {
        let mut relay = Self::new(http, underway);
        relay.head = Some(head);
        relay.said(said);
        relay
    }

    /// Leaves a stream that can be taken up again: in which session it is, the id of its call, and its last event. The call
    /// goes on (2025-11-25, basic/transports: a lost connection is no cancellation).
    pub(super) fn leave(&mut self) -> Option<(Seat, RequestId, Bytes)> {
        if self.machine.has_output() || self.over {
            return None;
        }
        let left = (
            self.unanswered.seat()?,
            self.machine.conversion().sent.clone(),
            self.machine.taken_up_from()?.clone(),
        );
        if !self.unanswered.leave() {
            return None;
        }
        self.body = None;
        self.over = true;
        Some(left)
    }

    /// Waits for the first thing that the server says. If that is the answer, there need not be a stream.
    pub(super) async fn settle(mut self) -> Result<Reply> {
        match tokio::time::timeout(HOLD, self.first()).await {
            Ok(Err(over)) => {
                self.unanswered
                    .cancel("the answer took too long, or was not wanted any more");
                return over_before_answer(over);
            }
            Ok(Ok(())) => {
                if let Some(answer) = self.machine.sole_answer() {
                    self.linger();
                    return Ok(answer.into());
                }
            }
            Err(_) => {}
        }
        Ok(Reply::Events(Events::Http(Box::new(self))))
    }

    pub(super) fn conversion(&self) -> &Conversion {
        self.machine.conversion()
    }

    pub(super) fn conversion_mut(&mut self) -> &mut Conversion {
        self.machine.conversion_mut()
    }

    /// In which session the call is.
    pub(super) fn seat(&self) -> Option<Seat> {
        self.unanswered.seat()
    }

    /// Whether long events are given out whole.
    pub(super) fn hold(&mut self, holds: bool) {
        self.machine.hold(holds);
    }

    /// Brings the server an answer to a question.
    pub(super) fn answer(&mut self, question: &RequestId, text: Bytes) {
        self.unanswered.answer(question, text);
    }

    /// Reads until there is something for the client, or nothing will come.
    async fn first(&mut self) -> Result<(), Over> {
        while !self.machine.has_output() && !self.over {
            std::future::poll_fn(|cx| self.poll_more(cx)).await?;
        }
        Ok(())
    }

    /// Takes the next step of the server's stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        if !self.machine.is_passing()
            && let Poll::Ready(said) = self.unanswered.poll_said(cx)
        {
            self.patience.renew();
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
        self.patience.poll(cx).map(Err)
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, Fault>>) {
        match frame {
            Some(Ok(frame)) => {
                self.patience.renew();
                if let Ok(data) = frame.into_data() {
                    self.tries = 0;
                    self.machine.push(data);
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

    /// Something that the server has said beside its answer.
    fn said(&mut self, said: Message) {
        if let Some(question) = self.machine.beside(said) {
            self.unanswered.put(&question);
        }
        self.settle_accounts();
    }

    fn headed(&mut self, head: Result<Head>) {
        match head {
            Ok(Head::Events(body)) => self.body = Some(*body),
            Ok(Head::Whole(text)) => self.machine.whole(&text),
            Err(error) => self.machine.fail(&error),
        }
        self.settle_accounts();
    }

    /// Tells the server what is to be told, and is done when it has answered.
    fn settle_accounts(&mut self) {
        for reply in self.machine.replies() {
            self.unanswered.reply(reply);
        }
        if self.machine.is_over() {
            self.unanswered.answered();
            self.over = true;
            self.linger();
        }
    }

    /// The stream has ended. If it can be, it is taken up again where it ended: a server may close it at any time, and let
    /// its client come back (2025-11-25, basic/transports, SEP-1699). If it was `closed` and not broken, the client is told
    /// to do as we do.
    fn take_up(&mut self, closed: bool) {
        if self.machine.is_over() {
            return;
        }
        let wait = self.machine.retry().unwrap_or(RETRY).min(LONGEST_RETRY);
        let from = self.machine.taken_up_from().filter(|_| self.tries < TRIES).cloned();
        match from.and_then(|from| Some((self.unanswered.take_up(from.clone(), wait)?, from))) {
            Some((again, from)) => {
                self.tries += 1;
                if closed {
                    self.machine.pause(wait);
                }
                self.machine.begin_again(from);
                self.again = Some(Taking(again));
            }
            None => self.machine.end(),
        }
    }

    fn taken_up(&mut self, taken: TakenUp) {
        match taken {
            TakenUp::Body(body) => self.body = Some(*body),
            TakenUp::NotNow => self.take_up(false),
            TakenUp::Never => self.machine.end(),
        }
        self.settle_accounts();
    }

    /// Waits for the end of the server's stream elsewhere, for a while.
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

    fn give_up(&mut self, over: Over) {
        match over {
            Over::Timeout(error) => {
                self.unanswered.cancel("the answer took too long");
                self.machine.fail(&error);
            }
            Over::Cancelled => self.unanswered.cancel("the client has cancelled"),
        }
        self.over = true;
        self.head = None;
        self.body = None;
        self.again = None;
    }
}

impl EventRelay {
    /// The next step towards the answer.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        loop {
            if let Some(step) = self.machine.pop() {
                if let Step::Question(_) = step {
                    // People take longer than programs.
                    self.patience.allow(self.http.question_time());
                }
                return Poll::Ready(Some(Ok(step)));
            }
            if let Some(fault) = self.machine.broken() {
                self.over = true;
                tracing::warn!(error = %fault, "an answer broke off on its way");
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

pub(super) use json::{broke_off, is_ours, whole};

#[cfg(feature = "fuzzing")]
pub(crate) use self::fuzz::events as fuzz_events;

/// For fuzz targets.
#[cfg(feature = "fuzzing")]
mod fuzz {
    use portolan_wire::{era::Era, method::Method};

    use super::{Bytes, Conversion, Machine, RequestId, Step};
    use crate::question::Abilities;

    /// What comes of a server's event stream for a client, in pieces of `size` bytes: all that it is sent, all that is asked,
    /// and whether the stream broke off. The first byte says which eras speak.
    pub(crate) fn events(data: &[u8], size: usize) -> (Vec<u8>, usize, bool) {
        let Some((kind, stream)) = data.split_first() else {
            return Default::default();
        };
        let era = |bit: u8| if kind & bit == 0 { Era::Legacy } else { Era::Modern };
        let method = if kind & 4 == 0 {
            Method::ToolsCall
        } else {
            Method::PromptsGet
        };
        let all = br#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#;
        let asks = if kind & 8 == 0 {
            Abilities::NONE
        } else {
            Abilities::read(&Bytes::from_static(all))
        };
        let id = RequestId::from_u64(1);
        let conversion = Conversion::plain(Some(era(1)), era(2), method, id, asks);
        let mut machine = Machine::new(conversion, 4096, 1 << 20);
        for chunk in stream.chunks(size.max(1)) {
            machine.push(Bytes::copy_from_slice(chunk));
        }
        machine.end();
        let (mut sent, mut asked) = (Vec::new(), 0);
        while let Some(step) = machine.pop() {
            match step {
                Step::Frame(frame) => sent.extend_from_slice(&frame),
                Step::Question(_) | Step::Asks(_) | Step::Task(_) => asked += 1,
            }
        }
        (sent, asked, machine.broken().is_some())
    }
}
