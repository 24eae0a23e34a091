//! JSON-RPC messages: parsed without copying, written in one allocation.

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

/// The content of one HTTP body or one stdio line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A single message.
    One(Message),
    /// A JSON-RPC batch, never empty. Only 2025-03-26 permits it; the caller decides.
    Batch(Vec<Message>),
}

impl Incoming {
    /// Returns the messages, whether they came alone or as a batch.
    pub fn into_messages(self) -> Vec<Message> {
        match self {
            Self::One(message) => vec![message],
            Self::Batch(messages) => messages,
        }
    }
}

/// A JSON-RPC message whose payload is a slice of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A message with a method and an id.
    Request(Request),
    /// A message with a method and no id.
    Notification(Notification),
    /// A message with a result or an error.
    Response(Response),
}

impl Message {
    /// Returns the method; `None` for a response.
    pub fn method(&self) -> Option<&Method> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }

    /// Returns the raw params, if there are any.
    pub fn params(&self) -> Option<&Bytes> {
        match self {
            Self::Request(request) => request.params.as_ref(),
            Self::Notification(notification) => notification.params.as_ref(),
            Self::Response(_) => None,
        }
    }

    /// Returns the id, if there is one.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id.as_ref(),
        }
    }
}

/// A request, which has to be answered by a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The sender's id, to be returned unchanged.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The raw JSON object, if one was sent.
    pub params: Option<Bytes>,
}

/// A notification, which gets no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The method.
    pub method: Method,
    /// The raw JSON object, if one was sent.
    pub params: Option<Bytes>,
    /// Set if it has the id `null`, which is none (2025-11-25 and 2026-07-28, basic: a request must not have it, a
    /// notification must have no id). Its sender may wait for a response.
    pub null_id: bool,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The id of the request; an error may come without.
    pub id: Option<RequestId>,
    /// The result or the error.
    pub outcome: Outcome,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The raw JSON of `result`.
    Result(Bytes),
    /// The raw JSON object of `error`; see [`ErrorObject::parse`](crate::error::ErrorObject::parse).
    Error(Bytes),
}
