//! What comes from a server: answers, notifications, requests, and what is none of these.

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::{Answer, Cause, ChannelNotification, Failure};
use portolan_wire::{
    envelope::{self, Incoming, Message, Notification, Outcome, Request},
    error::{ErrorObject, METHOD_NOT_FOUND},
    method::Method,
};
use tokio::sync::broadcast;

use crate::{line::Line, logs::Logs, mailbox::Mailbox, progress, sniff::Sniffer};

/// How deep an answer may nest.
const DEPTH: u32 = 1024;

/// Sorts what comes from one run of a server.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) notifications: broadcast::Sender<ChannelNotification>,
    /// The longest line, for the message about a longer one.
    pub(crate) limit: usize,
}

impl Inbound {
    pub(crate) fn line(&self, line: Line) {
        match line {
            Line::Whole(text) => self.text(&text),
            Line::TooLong { answered } => self.too_long(answered),
        }
    }

    fn text(&self, text: &Bytes) {
        if text.is_empty() {
            return;
        }
        let limits = envelope::Limits {
            depth: DEPTH,
            ..envelope::Limits::default()
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
                    Outcome::Result(raw) => Answer::Result(raw),
                    Outcome::Error(raw) => Answer::Error(raw),
                };
                self.mailbox.answer(id, Ok(answer));
            }
            Message::Notification(notification) => self.notification(notification),
            Message::Request(request) => self.mailbox.tell(reply(&request)),
        }
    }

    fn notification(&self, notification: Notification) {
        let out = ChannelNotification::new(notification.method.as_str(), notification.params);
        if notification.method == Method::Progress {
            return self.mailbox.progress(out);
        }
        let listener = out.params.as_ref().and_then(progress::call_of_subscription);
        if let Some(id) = listener
            && self.mailbox.subscribed(id, out.clone())
        {
            return;
        }
        // Nobody may be reading.
        let _ = self.notifications.send(out);
    }

    /// A line that is no message: an answer that is malformed fails its call, all else goes into the log.
    fn junk(&self, text: &Bytes, problem: &str) {
        let mut sniffer = Sniffer::default();
        sniffer.feed(text);
        if let Some(id) = sniffer.answered() {
            let failure = Failure::new(Cause::Protocol, format!("the answer cannot be read: {problem}"));
            self.mailbox.fail(id, failure);
        }
        self.logs.push([&text[..]]);
    }

    fn too_long(&self, answered: Option<u64>) {
        let limit = size(self.limit);
        if let Some(id) = answered {
            let failure = Failure::new(Cause::Protocol, format!("the answer is larger than {limit}"));
            self.mailbox.fail(
                id,
                failure.remedy("ask for less at a time, or raise the limit of lines"),
            );
        }
        self.logs
            .push([format!("[a line larger than {limit} was passed over]").as_bytes()]);
    }
}

/// What a request of the server is answered with. Relaying one to a caller would begin here.
fn reply(request: &Request) -> Bytes {
    match request.method {
        Method::Ping => envelope::result(&request.id, b"{}"),
        _ => {
            let error = ErrorObject::new(METHOD_NOT_FOUND, "not available through this channel");
            envelope::error(Some(&request.id), &error)
        }
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}
