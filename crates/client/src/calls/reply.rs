//! The reply to a request.

use bytes::Bytes;
use portolan_core::Result;

use crate::{
    calls::{beginning::Beginning, events::Events, streamable_http::json::JsonRelay, timeout::WaitError},
    collect::{self, CollectError},
    conversion::{Converted, tasks::TaskCreated},
    server_requests::InputRequired,
};

/// The reply of a server.
#[derive(Debug)]
pub enum Reply {
    /// The whole JSON-RPC response.
    Message(Bytes),
    /// The JSON-RPC response as it arrives.
    Json(Box<JsonRelay>),
    /// The event stream, as it arrives; its last event is the response.
    Events(Events),
    /// The server ended the call and wants it sent again with the client's input (2026-07-28, `input_required`).
    InputRequired(InputRequired),
    /// The server made a task of the call, which the caller of this client has to poll.
    Task(TaskCreated),
    /// The server rejected the headers without looking at the request (-32020). The message is the error to return if
    /// the request cannot be sent again with other headers.
    HeaderMismatch(Bytes),
    /// The server runs this tool only as a task and has not begun (-32021). The message is the error to return if the
    /// request cannot be sent again as a task.
    TaskRequired(Bytes),
    /// The requester cancelled the call: there is no response.
    Cancelled,
}

impl Reply {
    /// Returns the reply for a beginning; `relay` wraps a relay.
    pub(crate) fn begun<R>(beginning: Beginning<R>, relay: impl FnOnce(R) -> Self) -> Result<Self> {
        match beginning {
            Beginning::Whole(answer) => Ok(answer.into()),
            Beginning::Relay(rest) => Ok(relay(rest)),
            Beginning::Over(over) => over_before_answer(over),
        }
    }

    /// Reads the reply to its end and returns the message with the response. Returns `None` if the call was cancelled, or
    /// ended with input required or a task.
    ///
    /// # Errors
    ///
    /// [`CollectError::TooLarge`] past `limit` bytes, [`CollectError::Broken`] if the connection broke off.
    pub async fn into_message(self, limit: usize) -> Result<Option<Bytes>, CollectError> {
        match self {
            Self::Message(message) | Self::HeaderMismatch(message) | Self::TaskRequired(message) => Ok(Some(message)),
            Self::Json(body) => collect::body(body, limit).await.map(Some),
            Self::Events(events) => collect::last_response(events, limit).await,
            Self::InputRequired(_) | Self::Task(_) | Self::Cancelled => Ok(None),
        }
    }
}

impl Events {
    /// Waits a short time for the response, which is returned as a message if it is the next event.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](portolan_core::Error::Timeout) past a deadline.
    pub async fn settle(self) -> Result<Reply> {
        Reply::begun(self.begin().await, Reply::Events)
    }
}

impl From<Converted> for Reply {
    fn from(said: Converted) -> Self {
        match said {
            Converted::Message(message) => Self::Message(message),
            Converted::InputRequired(asked) => Self::InputRequired(asked),
            Converted::TaskRequired(message) => Self::TaskRequired(message),
            Converted::Task(task) => Self::Task(task),
        }
    }
}

/// Returns the result of a wait that ended before there was anything to relay.
pub(crate) fn over_before_answer(over: WaitError) -> Result<Reply> {
    match over {
        WaitError::Timeout(error) => Err(error),
        // A cancelled call has no response: the stream just ends (2025-11-25, basic/cancellation).
        WaitError::Cancelled => Ok(Reply::Cancelled),
    }
}
