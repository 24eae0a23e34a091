//! What the converter reads and what it yields.

use bytes::{Bytes, BytesMut};
use portolan_wire::rewrite::ResponseStream;

use crate::{
    conversion::{Converted, tasks::TaskCreated},
    server_requests::{InputRequired, ServerRequest},
};

/// The state of a line that is too long to be parsed as a whole.
#[derive(Debug)]
pub(super) enum LongLine {
    /// There is none.
    None,
    /// It is skipped.
    Ignored,
    /// It is the response, edited while it passes.
    Passing(Box<ResponseStream>),
    /// It has to be complete before it can be parsed.
    Held(BytesMut),
}

/// An output for the client.
#[derive(Debug)]
pub(super) enum Output {
    /// A whole message, not framed yet.
    Message(Bytes),
    /// A part of an event.
    LinePart(Bytes),
    /// A request of the server.
    ServerRequest(ServerRequest),
    /// The server requires input before it goes on.
    InputRequired(InputRequired),
    /// The server requires the call to be a task, and has not begun; the message for the client if it is not sent again.
    TaskRequired(Bytes),
    /// The server runs the call as a task.
    Task(TaskCreated),
}

impl From<Converted> for Output {
    fn from(converted: Converted) -> Self {
        match converted {
            Converted::Message(message) => Self::Message(message),
            Converted::InputRequired(asked) => Self::InputRequired(asked),
            Converted::TaskRequired(message) => Self::TaskRequired(message),
            Converted::Task(task) => Self::Task(task),
        }
    }
}

impl Output {
    /// Returns the response, if this is one.
    pub(super) fn response(&self) -> Option<Converted> {
        Some(match self {
            Self::Message(message) => Converted::Message(message.clone()),
            Self::InputRequired(asked) => Converted::InputRequired(asked.clone()),
            Self::TaskRequired(message) => Converted::TaskRequired(message.clone()),
            Self::Task(task) => Converted::Task(task.clone()),
            Self::LinePart(_) | Self::ServerRequest(_) => return None,
        })
    }
}

/// Returns the data of a `data:` line.
pub(super) fn data_of(line: &Bytes) -> Option<Bytes> {
    value_of(line, b"data:")
}

pub(super) fn value_of(line: &Bytes, field: &[u8]) -> Option<Bytes> {
    let rest = line.strip_prefix(field)?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(line.slice_ref(rest))
}
