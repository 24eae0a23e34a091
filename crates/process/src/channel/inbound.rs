//! Routes the lines that a server writes: responses, notifications, requests, and lines that are not messages.

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

use super::{connection_config::LogSink, dispatcher::RpcDispatcher, line::OutputLine, progress};

/// How deep a message may nest.
const MAX_DEPTH: u32 = 1024;

/// Routes the lines of one run of a server.
pub(crate) struct Inbound {
    pub(crate) dispatcher: Arc<RpcDispatcher>,
    pub(crate) log: LogSink,
    pub(crate) notifications: broadcast::Sender<ChannelNotification>,
    /// The requests that the server may send.
    pub(crate) server_requests: ServerRequestPolicy,
    /// The longest line, in bytes, for the message about a longer one.
    pub(crate) limit: usize,
}

impl Inbound {
    pub(crate) fn line(&self, line: OutputLine) {
        match line {
            OutputLine::Whole(text) => self.text(&text),
            OutputLine::TooLong { response_to } => self.too_long(response_to),
        }
    }

    fn text(&self, text: &Bytes) {
        if text.is_empty() {
            return;
        }
        let limits = envelope::ParseLimits {
            depth: MAX_DEPTH,
            ..envelope::ParseLimits::default()
        };
        match envelope::parse(text, &limits) {
            Ok(Incoming::One(message)) => self.message(message),
            Ok(Incoming::Batch(messages)) => messages.into_iter().for_each(|message| self.message(message)),
            Err(error) => self.malformed(text, &error.malformed.to_string()),
        }
    }

    fn message(&self, message: Message) {
        match message {
            Message::Response(response) => {
                let Some(id) = response.id.and_then(|id| id.as_u64()) else {
                    return;
                };
                let response = match response.outcome {
                    Outcome::Result(raw) => RpcResponse::Result(raw),
                    Outcome::Error(raw) => RpcResponse::Error(raw),
                };
                self.dispatcher.deliver_response(id, Ok(response));
            }
            Message::Notification(notification) => self.notification(notification),
            Message::Request(request) => self.request(request),
        }
    }

    fn request(&self, request: Request) {
        let may_ask = match request.method {
            Method::Ping => return self.dispatcher.send_line(envelope::result(&request.id, b"{}")),
            Method::Elicit => self.server_requests.elicitation,
            Method::CreateMessage => self.server_requests.sampling,
            Method::RootsList => self.server_requests.roots,
            _ => false,
        };
        if may_ask {
            return self.dispatcher.deliver_server_request(request);
        }
        let error = ErrorObject::new(METHOD_NOT_FOUND, "not available through this channel");
        self.dispatcher.send_line(envelope::error(Some(&request.id), &error));
    }

    fn notification(&self, notification: Notification) {
        let out = ChannelNotification::new(notification.method.as_str(), notification.params);
        if notification.method == Method::Progress {
            return self.dispatcher.deliver_progress(out);
        }
        if notification.method == Method::Cancelled
            && let Some(id) = out.params.as_ref().and_then(cancelled_request)
        {
            return self.cancelled(&id, out);
        }
        let listener = out.params.as_ref().and_then(progress::call_of_subscription);
        if let Some(id) = listener
            && self.dispatcher.deliver_to_subscription(id, out.clone())
        {
            return;
        }
        let out = match notification.method {
            Method::LogMessage | Method::ElicitationComplete => self.dispatcher.deliver_to_sole_requester(out),
            _ => Some(out),
        };
        if let Some(out) = out {
            // An error means that nobody subscribes.
            let _ = self.notifications.send(out);
        }
    }

    /// A legacy server cancels a request of its own; a modern one ends a subscription.
    fn cancelled(&self, id: &RequestId, notification: ChannelNotification) {
        match id.as_u64() {
            Some(call) if self.dispatcher.is_subscription(call) => {
                self.dispatcher.deliver_to_subscription(call, notification);
            }
            _ => self.dispatcher.withdraw(id),
        }
    }

    /// Handles a line that cannot be parsed: a malformed response fails its call, and the line goes into the log.
    fn malformed(&self, text: &Bytes, problem: &str) {
        let mut scanner = envelope::ResponseIdScanner::new();
        scanner.push(text);
        if let Some(id) = scanner.id() {
            let failure = Failure::new(
                FailureKind::Protocol,
                format!("the response cannot be parsed: {problem}"),
            );
            self.dispatcher.fail(id, failure);
        }
        (self.log)(text);
    }

    fn too_long(&self, response_to: Option<u64>) {
        let limit = size(self.limit);
        if let Some(id) = response_to {
            let failure = Failure::new(FailureKind::Protocol, format!("the response is larger than {limit}"));
            self.dispatcher.fail(
                id,
                failure.remedy("request less at a time, or raise the limit of a line"),
            );
        }
        (self.log)(format!("[a line larger than {limit} was skipped]").as_bytes());
    }
}

/// Returns the id of the request that a cancellation names.
fn cancelled_request(params: &Bytes) -> Option<RequestId> {
    RequestId::parse(RawObject::parse(params).ok()?.get("requestId")?).ok()
}

fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}
