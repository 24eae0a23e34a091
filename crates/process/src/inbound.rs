//! What comes from a server: answers, notifications, requests, and what is none of these.

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::{ChannelNotification, Failure, FailureKind, RpcResponse, ServerRequestPolicy};
use portolan_wire::{
    envelope::{self, Incoming, Message, Notification, Outcome, Request},
    error::{ErrorObject, METHOD_NOT_FOUND},
    id::RequestId,
    method::Method,
    object::RawObject,
};
use tokio::sync::broadcast;

use crate::{connection::LogSink, dispatcher::RpcDispatcher, id_scanner::IdScanner, line::OutputLine, progress};

/// How deep an answer may nest.
const DEPTH: u32 = 1024;

/// Sorts what comes from one run of a server.
pub(crate) struct Inbound {
    pub(crate) dispatcher: Arc<RpcDispatcher>,
    pub(crate) log: LogSink,
    pub(crate) notifications: broadcast::Sender<ChannelNotification>,
    /// What the server may ask.
    pub(crate) server_requests: ServerRequestPolicy,
    /// The longest line, for the message about a longer one.
    pub(crate) limit: usize,
}

impl Inbound {
    pub(crate) fn line(&self, line: OutputLine) {
        match line {
            OutputLine::Whole(text) => self.text(&text),
            OutputLine::TooLong { answered } => self.too_long(answered),
        }
    }

    fn text(&self, text: &Bytes) {
        if text.is_empty() {
            return;
        }
        let limits = envelope::ParseLimits {
            depth: DEPTH,
            ..envelope::ParseLimits::default()
        };
        match envelope::parse(text, &limits) {
            Ok(Incoming::One(message)) => self.message(message),
            Ok(Incoming::Batch(messages)) => messages.into_iter().for_each(|message| self.message(message)),
            Err(error) => self.junk(text, &error.malformed.to_string()),
        }
    }

    fn message(&self, message: Message) {
        match message {
            Message::Response(response) => {
                let Some(id) = response.id.and_then(|id| id.as_u64()) else {
                    return;
                };
                let answer = match response.outcome {
                    Outcome::Result(raw) => RpcResponse::Result(raw),
                    Outcome::Error(raw) => RpcResponse::Error(raw),
                };
                self.dispatcher.answer(id, Ok(answer));
            }
            Message::Notification(notification) => self.notification(notification),
            Message::Request(request) => self.request(request),
        }
    }

    fn request(&self, request: Request) {
        let may_ask = match request.method {
            Method::Ping => return self.dispatcher.tell(envelope::result(&request.id, b"{}")),
            Method::Elicit => self.server_requests.elicitation,
            Method::CreateMessage => self.server_requests.sampling,
            Method::RootsList => self.server_requests.roots,
            _ => false,
        };
        if may_ask {
            return self.dispatcher.ask(request);
        }
        let error = ErrorObject::new(METHOD_NOT_FOUND, "not available through this channel");
        self.dispatcher.tell(envelope::error(Some(&request.id), &error));
    }

    fn notification(&self, notification: Notification) {
        let out = ChannelNotification::new(notification.method.as_str(), notification.params);
        if notification.method == Method::Progress {
            return self.dispatcher.progress(out);
        }
        if notification.method == Method::Cancelled
            && let Some(id) = out.params.as_ref().and_then(cancelled)
        {
            return self.cancelled(&id, out);
        }
        let listener = out.params.as_ref().and_then(progress::call_of_subscription);
        if let Some(id) = listener
            && self.dispatcher.subscribed(id, out.clone())
        {
            return;
        }
        let out = match notification.method {
            Method::LogMessage | Method::ElicitationComplete => self.dispatcher.aside(out),
            _ => Some(out),
        };
        if let Some(out) = out {
            // Nobody may be reading.
            let _ = self.notifications.send(out);
        }
    }

    /// A legacy server takes a request of its own back; a modern one ends a subscription.
    fn cancelled(&self, id: &RequestId, notification: ChannelNotification) {
        match id.as_u64() {
            Some(call) if self.dispatcher.listens(call) => {
                self.dispatcher.subscribed(call, notification);
            }
            _ => self.dispatcher.withdraw(id),
        }
    }

    /// A line that is no message: an answer that is malformed fails its call, all else goes into the log.
    fn junk(&self, text: &Bytes, problem: &str) {
        let mut scanner = IdScanner::default();
        scanner.feed(text);
        if let Some(id) = scanner.answered() {
            let failure = Failure::new(FailureKind::Protocol, format!("the answer cannot be read: {problem}"));
            self.dispatcher.fail(id, failure);
        }
        (self.log)(text);
    }

    fn too_long(&self, answered: Option<u64>) {
        let limit = size(self.limit);
        if let Some(id) = answered {
            let failure = Failure::new(FailureKind::Protocol, format!("the answer is larger than {limit}"));
            self.dispatcher.fail(
                id,
                failure.remedy("ask for less at a time, or raise the limit of lines"),
            );
        }
        (self.log)(format!("[a line larger than {limit} was passed over]").as_bytes());
    }
}

/// The request that a cancellation names.
fn cancelled(params: &Bytes) -> Option<RequestId> {
    RequestId::parse(RawObject::parse(params).ok()?.get("requestId")?).ok()
}

fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}
