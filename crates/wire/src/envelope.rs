//! One JSON-RPC message: taken apart without copying, and put together in one allocation.

mod parse;
mod response_id;
mod write;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use self::parse::{Malformed, ParseError, ParseLimits, parse};
pub use self::response_id::ResponseIdScanner;
pub use self::write::{error, notification, one_line, request, result};
use crate::{id::RequestId, method::Method};

/// What one HTTP body or one stdio line brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A single message.
    One(Message),
    /// A JSON-RPC batch, never empty. Legal in 2025-03-26 only; the caller decides.
    Batch(Vec<Message>),
}

/// A JSON-RPC message whose payload is a slice of what came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// It has a method and an id.
    Request(Request),
    /// It has a method and no id.
    Notification(Notification),
    /// It has a result or an error.
    Response(Response),
}

impl Message {
    /// The method, unless this is a response.
    pub fn method(&self) -> Option<&Method> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }

    /// The raw params, if there are any.
    pub fn params(&self) -> Option<&Bytes> {
        match self {
            Self::Request(request) => request.params.as_ref(),
            Self::Notification(notification) => notification.params.as_ref(),
            Self::Response(_) => None,
        }
    }

    /// The id, if there is one.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id.as_ref(),
        }
    }
}

/// A call that wants an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The sender's id, to be given back as it is.
    pub id: RequestId,
    /// What is asked for.
    pub method: Method,
    /// The raw JSON object, if one was sent.
    pub params: Option<Bytes>,
}

/// A message that wants no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What is told.
    pub method: Method,
    /// The raw JSON object, if one was sent.
    pub params: Option<Bytes>,
    /// Whether it has an id after all, `null`, which is none (2025-11-25 and 2026-07-28, basic: requests must not have it,
    /// notifications must have no id). Whoever sent it may wait for an answer.
    pub null_id: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The id of the request; an error may come without.
    pub id: Option<RequestId>,
    /// How it went.
    pub outcome: Outcome,
}

/// How a request went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The raw JSON of `result`.
    Result(Bytes),
    /// The raw JSON object of `error`; see [`ErrorObject::parse`](crate::error::ErrorObject::parse).
    Error(Bytes),
}
