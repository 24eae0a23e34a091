//! What comes back for a request.

use bytes::Bytes;
use portolan_core::Result;

use crate::{
    calls::{beginning::Beginning, events::Events, streamable_http::json::JsonRelay, timeout::WaitError},
    collect::{self, CollectError},
    conversion::{Converted, tasks::TaskCreated},
    server_requests::InputRequired,
};

/// What comes back for a request.
#[derive(Debug)]
pub enum Reply {
    /// The whole JSON-RPC response.
    Message(Bytes),
    /// The JSON-RPC response as it arrives.
    Json(Box<JsonRelay>),
    /// Events as they arrive; the last one is the response.
    Events(Events),
    /// The server ended the call and wants it made again with the client's answers (2026-07-28, `input_required`).
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
    /// The reply to an answer that begins so; `relay` makes one of what is relayed.
    pub(crate) fn begun<R>(beginning: Beginning<R>, relay: impl FnOnce(R) -> Self) -> Result<Self> {
        match beginning {
            Beginning::Whole(answer) => Ok(answer.into()),
            Beginning::Relay(rest) => Ok(relay(rest)),
            Beginning::Over(over) => over_before_answer(over),
        }
    }

    /// Reads the reply to its end and returns the one message that answers; `None` if the call was cancelled, or the
    /// server wants something that only a relay can give.
    ///
    /// # Errors
    ///
    /// [`CollectError::TooLarge`] past `limit` bytes, [`CollectError::Broken`] when the connection broke off.
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
    /// Waits a while for the answer, which need not be a stream if it is the next thing that comes.
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

/// The end of a wait before there is anything to relay.
pub(crate) fn over_before_answer(over: WaitError) -> Result<Reply> {
    match over {
        WaitError::Timeout(error) => Err(error),
        // To a call that was cancelled there is nothing to say: a stream that ends is all (2025-11-25, basic/cancellation).
        WaitError::Cancelled => Ok(Reply::Cancelled),
    }
}
