//! Converts the lines of a server's event stream.

mod parts;

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
    sse::{self, LinePart, LineSplitter},
};

use self::parts::{LongLine, Output, data_of, value_of};
use crate::{
    calls::{
        steps::Step,
        streamable_http::json::{self, broke_off, is_ours},
    },
    conversion::{Conversion, Converted},
    server_requests::{ServerRequest, ServerRequestKey},
};

/// The limits of a message, and of several in one.
const LIMITS: envelope::ParseLimits = envelope::ParseLimits {
    depth: 1024,
    batch: 1024,
};

/// The longest event id that is kept, in bytes.
const MAX_EVENT_ID: usize = 1024;

/// Converts the lines of a server's event stream into events for the client.
#[derive(Debug)]
pub(crate) struct EventStreamConverter {
    conversion: Conversion,
    splitter: LineSplitter,
    data: Option<Bytes>,
    /// `true` if the event that is being read has a name of its own: then it is no message.
    named: bool,
    long: LongLine,
    out: VecDeque<Output>,
    replies: Vec<Bytes>,
    /// Notifications that do not belong to the call.
    foreign: Vec<Notification>,
    held_limit: usize,
    size: usize,
    size_limit: usize,
    /// The id of the last event that was read to its end, and of the one that is being read.
    event: Option<Bytes>,
    next_event: Option<Bytes>,
    /// The server's wish how long to wait before its stream is resumed.
    retry: Option<Duration>,
    /// Server requests that are skipped when a stream is resumed.
    known: Vec<RequestId>,
    answered: bool,
    /// `true` once the last chunk was a part of something that belongs to the call.
    heard: bool,
    /// `true` if long events are yielded as a whole.
    holds: bool,
    broken: Option<BoxError>,
}

impl EventStreamConverter {
    pub(crate) fn new(conversion: Conversion, held_limit: usize, size_limit: usize) -> Self {
        Self {
            conversion,
            splitter: LineSplitter::default(),
            data: None,
            named: false,
            long: LongLine::None,
            out: VecDeque::new(),
            replies: Vec::new(),
            foreign: Vec::new(),
            held_limit,
            size: 0,
            size_limit,
            event: None,
            next_event: None,
            retry: None,
            known: Vec::new(),
            answered: false,
            heard: false,
            holds: false,
            broken: None,
        }
    }

    /// Takes a chunk of the stream. Bytes after the response are skipped. Returns `true` if the server has said something
    /// about the call.
    pub(crate) fn push(&mut self, chunk: Bytes) -> bool {
        self.heard = false;
        self.take(chunk);
        self.heard
    }

    fn take(&mut self, chunk: Bytes) {
        self.size += chunk.len();
        if self.size > self.size_limit {
            let limit = self.size_limit;
            return self.refuse(
                &self
                    .conversion
                    .protocol_error(format!("its response is larger than {limit} bytes")),
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

    /// Returns the id of the event after which the stream can be resumed.
    pub(crate) fn taken_up_from(&self) -> Option<&Bytes> {
        match &self.long {
            LongLine::Passing(_) => None,
            _ => self.event.as_ref(),
        }
    }

    /// Returns how long the server wants its client to wait before that.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Returns `true` if the server has closed its stream after it said when to come back: a legacy client is told the
    /// same.
    pub(crate) fn pause(&mut self, wait: Duration) {
        if self.retry.is_some() && self.conversion.client == Some(Era::Legacy) {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.out.push_back(Output::LinePart(sse::retry(millis)));
        }
    }

    /// Resumes a stream after the event `from`. The server requests `known` are skipped.
    pub(crate) fn begin_again(&mut self, from: Bytes) {
        self.splitter = LineSplitter::default();
        self.data = None;
        self.named = false;
        self.long = LongLine::None;
        self.next_event = None;
        self.event = Some(from);
    }

    pub(crate) fn knows(&mut self, known: Vec<RequestId>) {
        self.known = known;
    }

    /// Ends the stream. Without a response, the client gets an error.
    pub(crate) fn end(&mut self) {
        if !self.is_over() {
            self.refuse(&broke_off(&self.conversion));
        }
    }

    /// Fails the call with this error. If part of the response was yielded, the stream breaks off.
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

    /// Returns the response, if the client gets nothing else.
    pub(crate) fn sole_answer(&mut self) -> Option<Converted> {
        match (self.answered, self.out.len(), self.out.front()) {
            (true, 1, Some(output)) => output.response(),
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

    /// Returns the next output.
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

    /// Returns the messages for the server.
    pub(crate) fn replies(&mut self) -> std::vec::Drain<'_, Bytes> {
        self.replies.drain(..)
    }

    /// Returns the notifications that do not belong to the call.
    pub(crate) fn foreign(&mut self) -> std::vec::Drain<'_, Notification> {
        self.foreign.drain(..)
    }

    /// Returns `true` while the response is yielded in parts: no other message fits in between.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.long, LongLine::Passing(_))
    }

    /// Takes a message of the GET stream. Returns the id of a server request that is passed to the client.
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

    /// Takes a response that is no stream, or several messages in one.
    pub(crate) fn whole(&mut self, text: &Bytes) {
        match envelope::parse(text, &LIMITS) {
            Ok(envelope::Incoming::Batch(messages)) => self.batch(messages),
            _ => self.converted(json::whole(text, &self.conversion)),
        }
    }

    /// Takes several messages (2025-03-26). The response ends the call, so it is the last one.
    fn batch(&mut self, messages: Vec<Message>) {
        let is_response = |message: &Message| matches!(message, Message::Response(_));
        let (responses, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_response);
        for message in others.into_iter().chain(responses) {
            self.message(message, None);
        }
    }

    fn converted(&mut self, converted: portolan_core::Result<Converted>) {
        match converted {
            Ok(converted) => self.answer(converted.into()),
            Err(error) => self.refuse(&error),
        }
    }

    fn line(&mut self, line: &Bytes) {
        let Some(data) = data_of(line) else {
            return self.field(line);
        };
        if self.named {
            return;
        }
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

    /// Reads a line other than data. Modern streams cannot be resumed.
    fn field(&mut self, line: &Bytes) {
        if let Some(name) = value_of(line, b"event:") {
            self.named = !name.is_empty() && name != "message";
        }
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
        let Some(data) = data_of(start).filter(|_| !self.named) else {
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
        self.heard |= !matches!(self.long, LongLine::None | LongLine::Ignored);
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
                    self.broken = Some("the server requires input after the start of its result".into());
                }
                Ok(_) => {
                    self.out.push_back(Output::LinePart(Bytes::from_static(sse::EVENT_END)));
                    self.answered = true;
                }
                Err(fault) => self.broken = Some(fault.into()),
            },
        }
    }

    /// Handles a whole event.
    fn dispatch(&mut self) {
        if let Some(id) = self.next_event.take() {
            // An empty id means that the stream cannot be resumed here.
            let fits = !id.is_empty() && id.len() <= MAX_EVENT_ID && std::str::from_utf8(&id).is_ok();
            self.event = fits.then(|| Bytes::copy_from_slice(&id));
        }
        let named = std::mem::take(&mut self.named);
        let Some(data) = self.data.take().filter(|data| !named && !data.is_empty()) else {
            return;
        };
        match envelope::parse(&data, &LIMITS) {
            Ok(envelope::Incoming::One(message)) => self.message(message, Some(&data)),
            Ok(envelope::Incoming::Batch(messages)) => self.batch(messages),
            Err(fault) => self.refuse(
                &self
                    .conversion
                    .protocol_error(format!("an event of its stream cannot be parsed: {fault}")),
            ),
        }
    }

    /// Takes a message, which came as `text` if it came alone.
    fn message(&mut self, message: Message, text: Option<&Bytes>) {
        if self.is_over() {
            return;
        }
        match message {
            Message::Response(response) => {
                if response.id.as_ref().is_none_or(|id| *id == self.conversion.sent) {
                    self.heard = true;
                    self.converted(json::converted(&response, &self.conversion));
                }
            }
            Message::Notification(notification) if self.passes(&notification) => {
                self.heard = true;
                let message = match text {
                    Some(text) => text.clone(),
                    None => envelope::notification(&notification.method, notification.params.as_deref()),
                };
                self.out
                    .extend(self.conversion.notification(message).map(Output::Message));
            }
            Message::Notification(notification) => {
                self.heard |= notification.method == Method::LogMessage;
                self.foreign.push(notification);
            }
            Message::Request(request) => {
                self.heard = true;
                self.ask_back(request);
            }
        }
    }

    /// Returns `true` if a notification belongs to the call: others are sent on other streams.
    fn passes(&self, notification: &Notification) -> bool {
        match notification.method {
            Method::Progress => true,
            // A modern client gets log messages only if this request asked for them, which a legacy server cannot know:
            // its session may be shared, and log from a lower level on.
            Method::LogMessage
                if self.conversion.client == Some(Era::Modern) && self.conversion.upstream == Era::Legacy =>
            {
                let level = notification.params.as_ref().and_then(LogLevel::of_message);
                matches!((level, self.conversion.log), (Some(level), Some(from)) if level >= from)
            }
            Method::LogMessage => true,
            // 2026-07-28 has no notification of a completed URL elicitation.
            Method::ElicitationComplete => {
                self.conversion.client == Some(Era::Legacy) && self.conversion.capabilities.has_url()
            }
            Method::TaskStatus => self.conversion.relays_task_status(),
            _ => false,
        }
    }

    /// Handles a server request during a call. One that no capability permits is refused.
    fn ask_back(&mut self, request: Request) {
        let Request { id, method, params } = request;
        if method == Method::Ping {
            self.replies.push(envelope::result(&id, b"{}"));
        } else if self.known.contains(&id) {
            // It was passed to the client before the stream was resumed.
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
                .protocol_error(format!("its response is larger than {limit} bytes")),
        );
    }
}
