//! What is done with each line of a server's event stream.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use portolan_core::{BoxError, Error};
use portolan_wire::{
    envelope::{self, Message, Notification, Request},
    era::Era,
    error::ErrorObject,
    id::RequestId,
    level::LogLevel,
    method::Method,
    rewrite::ResponseStream,
    sse::{self, LinePart, LineSplitter},
};

use crate::{
    calls::{
        steps::Step,
        streamable_http::json::{broke_off, is_ours},
    },
    conversion::{Conversion, Converted, tasks::TaskCreated},
    server_requests::{InputRequired, ServerRequest, ServerRequestKey},
};

/// The longest id of an event that is kept.
const MAX_EVENT_ID: usize = 1024;

/// Turns the lines of a server's stream into events for the client.
#[derive(Debug)]
pub(crate) struct EventStreamConverter {
    conversion: Conversion,
    splitter: LineSplitter,
    data: Option<Bytes>,
    long: LongLine,
    out: VecDeque<Output>,
    replies: Vec<Bytes>,
    held_limit: usize,
    size: usize,
    size_limit: usize,
    /// The last event that was read to its end, and the one that is being read.
    event: Option<Bytes>,
    next_event: Option<Bytes>,
    /// How long the server wants to be waited for before its stream is taken up again.
    retry: Option<Duration>,
    /// Questions that are not to be asked again when a stream is read anew.
    known: Vec<RequestId>,
    answered: bool,
    /// Long events are given out whole.
    holds: bool,
    broken: Option<BoxError>,
}

/// A line that is too long to be looked at whole.
#[derive(Debug)]
enum LongLine {
    /// There is none.
    None,
    /// It is of no interest.
    Ignored,
    /// It is the answer, edited while it passes by.
    Passing(Box<ResponseStream>),
    /// It must be held to be understood.
    Held(BytesMut),
}

/// Something for the client.
#[derive(Debug)]
enum Output {
    /// A whole message, not framed yet.
    Message(Bytes),
    /// A piece of an event.
    LinePart(Bytes),
    /// A question of the server.
    ServerRequest(ServerRequest),
    /// The server wants answers before it does what it was asked.
    InputRequired(InputRequired),
    /// The server wants to do it as a task, and has not begun; the message for the client if nothing else comes of that.
    TaskRequired(Bytes),
    /// The server does it as a task.
    Task(TaskCreated),
}

impl EventStreamConverter {
    pub(crate) fn new(conversion: Conversion, held_limit: usize, size_limit: usize) -> Self {
        Self {
            conversion,
            splitter: LineSplitter::default(),
            data: None,
            long: LongLine::None,
            out: VecDeque::new(),
            replies: Vec::new(),
            held_limit,
            size: 0,
            size_limit,
            event: None,
            next_event: None,
            retry: None,
            known: Vec::new(),
            answered: false,
            holds: false,
            broken: None,
        }
    }

    /// Takes a chunk of the stream. What comes after the answer is of no interest.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.size += chunk.len();
        if self.size > self.size_limit {
            let limit = self.size_limit;
            return self.refuse(
                &self
                    .conversion
                    .protocol_error(format!("its answer is larger than {limit} bytes")),
            );
        }
        self.splitter.push(chunk);
        while let Some(piece) = self.splitter.next_piece() {
            if self.is_over() {
                return;
            }
            match piece {
                LinePart::Line(line) if line.is_empty() => self.dispatch(),
                LinePart::Line(line) => self.line(&line),
                LinePart::LineStart(start) => self.begin_long(&start),
                LinePart::LinePart(part) => self.continue_long(part),
                LinePart::LineEnd => self.end_long(),
            }
        }
    }

    /// From where the stream can be taken up again, if it can.
    pub(crate) fn taken_up_from(&self) -> Option<&Bytes> {
        match &self.long {
            LongLine::Passing(_) => None,
            _ => self.event.as_ref(),
        }
    }

    /// How long the server wants to be waited for before that.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The server has closed its stream after it said when to come back: a legacy client is told the same.
    pub(crate) fn pause(&mut self, wait: Duration) {
        if self.retry.is_some() && self.conversion.client == Some(Era::Legacy) {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.out.push_back(Output::LinePart(sse::retry(millis)));
        }
    }

    /// Reads a stream anew, from after the event `from`. The questions `known` are not asked again.
    pub(crate) fn begin_again(&mut self, from: Bytes) {
        self.splitter = LineSplitter::default();
        self.data = None;
        self.long = LongLine::None;
        self.next_event = None;
        self.event = Some(from);
    }

    pub(crate) fn knows(&mut self, known: Vec<RequestId>) {
        self.known = known;
    }

    /// The server's stream is over. Without an answer, the client is told so.
    pub(crate) fn end(&mut self) {
        if !self.is_over() {
            self.refuse(&broke_off(&self.conversion));
        }
    }

    /// There will be no answer, for this reason. Half an answer cannot be mended: then the stream breaks off.
    pub(crate) fn fail(&mut self, error: &Error) {
        if !self.is_over() {
            self.refuse(error);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.answered || self.broken.is_some()
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// The answer, if it is all that the client gets.
    pub(crate) fn sole_answer(&mut self) -> Option<Converted> {
        match (self.answered, self.out.len(), self.out.front()) {
            (true, 1, Some(Output::Message(message))) => Some(Converted::Message(message.clone())),
            (true, 1, Some(Output::InputRequired(asked))) => Some(Converted::InputRequired(asked.clone())),
            (true, 1, Some(Output::TaskRequired(message))) => Some(Converted::TaskRequired(message.clone())),
            (true, 1, Some(Output::Task(task))) => Some(Converted::Task(task.clone())),
            _ => None,
        }
    }

    pub(crate) fn conversion(&self) -> &Conversion {
        &self.conversion
    }

    pub(crate) fn conversion_mut(&mut self) -> &mut Conversion {
        &mut self.conversion
    }

    pub(crate) fn hold(&mut self, holds: bool) {
        self.holds = holds;
    }

    /// The next step towards the answer.
    pub(crate) fn pop(&mut self) -> Option<Step> {
        Some(match self.out.pop_front()? {
            Output::Message(message) | Output::TaskRequired(message) => Step::Frame(sse::event(&message)),
            Output::LinePart(piece) => Step::Frame(piece),
            Output::ServerRequest(server_request) => Step::ServerRequest(server_request),
            Output::InputRequired(asked) => Step::InputRequired(asked),
            Output::Task(task) => Step::Task(task),
        })
    }

    pub(crate) fn broken(&mut self) -> Option<BoxError> {
        self.broken.take()
    }

    /// What is to be told to the server.
    pub(crate) fn replies(&mut self) -> std::vec::Drain<'_, Bytes> {
        self.replies.drain(..)
    }

    /// Whether the answer is on its way through, piece by piece: nothing can come between.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.long, LongLine::Passing(_))
    }

    /// Takes what the server says beside the stream of this call. Gives the id of a question that is put to the client.
    pub(crate) fn beside(&mut self, said: Message) -> Option<RequestId> {
        match said {
            Message::Request(request) => {
                let (id, before) = (request.id.clone(), self.out.len());
                self.ask_back(request);
                (self.out.len() > before).then_some(id)
            }
            Message::Notification(told) if self.passes(&told) => {
                let message = envelope::notification(&told.method, told.params.as_deref());
                self.out
                    .extend(self.conversion.notification(message).map(Output::Message));
                None
            }
            _ => None,
        }
    }

    /// Takes an answer that is no stream.
    pub(crate) fn whole(&mut self, text: &Bytes) {
        match crate::calls::streamable_http::json::whole(text, &self.conversion) {
            Ok(Converted::Message(message)) => self.answer(Output::Message(message)),
            Ok(Converted::InputRequired(asked)) => self.answer(Output::InputRequired(asked)),
            Ok(Converted::TaskRequired(message)) => self.answer(Output::TaskRequired(message)),
            Ok(Converted::Task(task)) => self.answer(Output::Task(task)),
            Err(error) => self.refuse(&error),
        }
    }

    fn line(&mut self, line: &Bytes) {
        let Some(data) = data_of(line) else {
            return self.field(line);
        };
        self.data = Some(match self.data.take() {
            None => data,
            Some(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + 1 + data.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(b"\n");
                joined.extend_from_slice(&data);
                joined.freeze()
            }
        });
        if self.data.as_ref().is_some_and(|data| data.len() > self.held_limit) {
            self.too_large();
        }
    }

    /// A line other than data. Modern streams cannot be taken up again.
    fn field(&mut self, line: &Bytes) {
        if self.conversion.upstream == Era::Modern {
            return;
        }
        if let Some(id) = value_of(line, b"id:") {
            self.next_event = Some(id);
        } else if let Some(retry) = value_of(line, b"retry:") {
            let millis = std::str::from_utf8(&retry).ok().and_then(|text| text.parse().ok());
            self.retry = millis.map(Duration::from_millis).or(self.retry);
        }
    }

    fn begin_long(&mut self, start: &Bytes) {
        let Some(data) = data_of(start) else {
            self.long = LongLine::Ignored;
            return;
        };
        if self.data.is_none() && !self.holds && !self.conversion.holds() {
            let mut stream = self.conversion.stream();
            let mut pieces = Vec::with_capacity(4);
            if stream.push(data.clone(), &mut pieces).is_ok() && is_ours(stream.head(), &self.conversion) {
                self.out
                    .push_back(Output::LinePart(Bytes::from_static(sse::EVENT_START)));
                self.out.extend(pieces.into_iter().map(Output::LinePart));
                self.long = LongLine::Passing(Box::new(stream));
                return;
            }
        }
        let mut held = BytesMut::from(&*self.data.take().unwrap_or_default());
        if !held.is_empty() {
            held.extend_from_slice(b"\n");
        }
        held.extend_from_slice(&data);
        self.long = LongLine::Held(held);
    }

    fn continue_long(&mut self, part: Bytes) {
        match &mut self.long {
            LongLine::None | LongLine::Ignored => {}
            LongLine::Passing(stream) => {
                let mut pieces = Vec::with_capacity(2);
                let pushed = stream.push(part, &mut pieces);
                self.out.extend(pieces.into_iter().map(Output::LinePart));
                if let Err(fault) = pushed {
                    self.broken = Some(fault.into());
                }
            }
            LongLine::Held(held) => {
                held.extend_from_slice(&part);
                if held.len() > self.held_limit {
                    self.too_large();
                }
            }
        }
    }

    fn end_long(&mut self) {
        match std::mem::replace(&mut self.long, LongLine::None) {
            LongLine::None | LongLine::Ignored => {}
            LongLine::Held(held) => self.data = Some(held.freeze()),
            LongLine::Passing(stream) => match stream.finish() {
                Ok(head) if self.conversion.is_beyond(head.result_type.as_ref()) => {
                    self.broken = Some("the server asks for more input too late to be heard".into());
                }
                Ok(_) => {
                    self.out.push_back(Output::LinePart(Bytes::from_static(sse::EVENT_END)));
                    self.answered = true;
                }
                Err(fault) => self.broken = Some(fault.into()),
            },
        }
    }

    /// A whole event.
    fn dispatch(&mut self) {
        if let Some(id) = self.next_event.take() {
            // An empty id means that the stream cannot be taken up from here.
            let fits = !id.is_empty() && id.len() <= MAX_EVENT_ID && std::str::from_utf8(&id).is_ok();
            self.event = fits.then(|| Bytes::copy_from_slice(&id));
        }
        let Some(data) = self.data.take().filter(|data| !data.is_empty()) else {
            return;
        };
        match envelope::parse(&data, &envelope::ParseLimits { depth: 1024, batch: 1 }) {
            Ok(envelope::Incoming::One(Message::Response(response)))
                if response.id.as_ref().is_none_or(|id| *id == self.conversion.sent) =>
            {
                self.whole(&data);
            }
            Ok(envelope::Incoming::One(Message::Notification(notification))) if self.passes(&notification) => {
                self.out.extend(self.conversion.notification(data).map(Output::Message));
            }
            Ok(envelope::Incoming::One(Message::Request(request))) => self.ask_back(request),
            Ok(_) => {}
            Err(fault) => self.refuse(
                &self
                    .conversion
                    .protocol_error(format!("an event of it cannot be read: {fault}")),
            ),
        }
    }

    /// Which notifications belong to a call: what else a server tells is told elsewhere.
    fn passes(&self, notification: &Notification) -> bool {
        match notification.method {
            Method::Progress => true,
            // A modern client gets logs only if this very request asked for them, which a legacy server cannot know: its
            // session may be shared, and log from a lower level on.
            Method::LogMessage
                if self.conversion.client == Some(Era::Modern) && self.conversion.upstream == Era::Legacy =>
            {
                let level = notification.params.as_ref().and_then(LogLevel::of_message);
                matches!((level, self.conversion.log), (Some(level), Some(from)) if level >= from)
            }
            Method::LogMessage => true,
            // That a page was visited: 2026-07-28 has no word for it.
            Method::ElicitationComplete => {
                self.conversion.client == Some(Era::Legacy) && self.conversion.capabilities.has_url()
            }
            Method::TaskStatus => self.conversion.relays_task_status(),
            _ => false,
        }
    }

    /// The server asks something in the middle of a call. What it may not ask it is refused.
    fn ask_back(&mut self, request: Request) {
        let Request { id, method, params } = request;
        if method == Method::Ping {
            self.replies.push(envelope::result(&id, b"{}"));
        } else if self.known.contains(&id) {
            // It was asked and answered before the stream was taken up again.
        } else if self.conversion.may_ask(&method, params.as_ref()) {
            self.out.push_back(Output::ServerRequest(ServerRequest {
                key: ServerRequestKey::Id(id),
                method,
                params: self.conversion.related(params),
            }));
        } else {
            let error = ErrorObject::method_not_found(method.as_str());
            self.replies.push(envelope::error(Some(&id), &error));
        }
    }

    fn answer(&mut self, answer: Output) {
        self.out.push_back(answer);
        self.answered = true;
    }

    fn refuse(&mut self, error: &Error) {
        if matches!(self.long, LongLine::Passing(_)) {
            self.broken = Some(error.to_string().into());
        } else {
            let message = self.conversion.failure(error);
            self.answer(Output::Message(message));
        }
    }

    fn too_large(&mut self) {
        let limit = self.held_limit;
        self.refuse(
            &self
                .conversion
                .protocol_error(format!("its answer is larger than {limit} bytes")),
        );
    }
}

/// The data of a `data:` line.
fn data_of(line: &Bytes) -> Option<Bytes> {
    value_of(line, b"data:")
}

fn value_of(line: &Bytes, field: &[u8]) -> Option<Bytes> {
    let rest = line.strip_prefix(field)?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(line.slice_ref(rest))
}
