//! Rewrites a response that arrives in chunks, without buffering it.
//!
//! A tool's result may be megabytes of text of which a gateway has to change the id and one small member.
//! [`ResponseStream`] finds them as the chunks come and passes the rest on as slices of those same chunks. It can also
//! insert text into strings at known paths, such as URIs.

mod cursor;
mod insert;
mod response;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use self::insert::{JsonPath, StringPrefix};
use self::{insert::InsertStream, response::ResponseRewriter};
use crate::{
    id::{InvalidId, RequestId},
    tokenizer::TokenError,
};

/// The changes to a response.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The id that replaces the one of the message.
    pub id: RequestId,
    /// How `resultType` is changed.
    pub result_type: ResultType,
}

/// How the `resultType` member of a result is changed. Version 2026-07-28 requires it; older ones do not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// It stays as it is.
    Keep,
    /// `"resultType":"complete"` is added as the last member where it is missing.
    Ensure,
    /// Like [`Ensure`](Self::Ensure), with `"ttlMs":0,"cacheScope":"private"` after it, for results that have to state how
    /// long they may be cached.
    EnsureUncached,
    /// It is dropped.
    Strip,
}

/// The kind of a JSON-RPC message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A response with a result.
    Result,
    /// A response with an error.
    Error,
    /// A request or a notification: it has a method.
    Method,
}

/// The members of a message that have been seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageHead {
    /// The id that the message came with; `None` if it was null.
    pub id: Option<RequestId>,
    /// Its kind.
    pub kind: Option<MessageKind>,
    /// `resultType` as raw JSON.
    pub result_type: Option<Bytes>,
    /// Set if the result has a member that answers the request: `content`, `structuredContent`, `contents` or `messages`.
    /// One that requests input has none.
    pub answers: bool,
}

/// Rewrites one JSON-RPC response that arrives in arbitrary chunks.
///
/// The bytes of its output do not depend on where the chunks are cut. It holds back less than 100 bytes. It checks the
/// structure of the message and the members of `result`; values inside are skipped, by counting brackets outside of
/// strings. Its output is JSON if its input is, and not every damaged input is detected.
///
/// ```
/// use portolan_wire::{Bytes, id::RequestId, rewrite::{Edit, ResponseStream, ResultType}};
///
/// let edit = Edit { id: RequestId::from_u64(9), result_type: ResultType::Ensure };
/// let mut stream = ResponseStream::new(edit);
/// let mut out: Vec<Bytes> = Vec::new();
/// for chunk in [r#"{"id":"a-1","resu"#, r#"lt":{"content":[]}}"#] {
///     stream.push(Bytes::from_static(chunk.as_bytes()), &mut out)?;
/// }
/// let head = stream.finish()?;
/// assert_eq!(head.id.unwrap().as_raw(), br#""a-1""#);
/// assert_eq!(out.concat(), br#"{"id":9,"result":{"content":[],"resultType":"complete"}}"#);
/// # Ok::<(), portolan_wire::rewrite::StreamError>(())
/// ```
#[derive(Debug)]
pub struct ResponseStream {
    response: ResponseRewriter,
    /// Inserts text into the output of `response`.
    inserts: Option<Box<InsertStream>>,
    failed: Option<StreamError>,
}

impl ResponseStream {
    /// Returns a stream that makes the changes of `edit`.
    pub fn new(edit: Edit) -> Self {
        Self {
            response: ResponseRewriter::new(edit),
            inserts: None,
            failed: None,
        }
    }

    /// Also inserts `prefix` into the strings at `path` of the message. The structure of the message is checked along the
    /// path, too.
    #[must_use]
    pub fn inserting(self, path: JsonPath, prefix: StringPrefix) -> Self {
        Self {
            inserts: Some(Box::new(InsertStream::new(path, prefix))),
            ..self
        }
    }

    /// Takes the next chunk and extends `out` with the output that is certain.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the message is malformed or not a response. The output so far should not be completed then, and
    /// each later call returns the same error.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl Extend<Bytes>) -> Result<(), StreamError> {
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        let pushed = match &mut self.inserts {
            None => self.response.push(&chunk, out),
            Some(inserts) => {
                let mut edited: Vec<Bytes> = Vec::with_capacity(4);
                let pushed = self.response.push(&chunk, &mut edited);
                pushed.and_then(|()| edited.iter().try_for_each(|piece| inserts.push(piece, out)))
            }
        };
        self.failed = pushed.err();
        pushed
    }

    /// Returns the head as far as it has been seen: after a chunk or two, enough to tell an error from a result.
    pub fn head(&self) -> &MessageHead {
        self.response.head()
    }

    /// Ends the message and returns its head.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if [`push`](Self::push) failed, the message is incomplete, or it is not a response.
    pub fn finish(self) -> Result<MessageHead, StreamError> {
        match self.failed {
            Some(fault) => Err(fault),
            None => {
                if let Some(inserts) = self.inserts {
                    inserts.finish()?;
                }
                self.response.finish()
            }
        }
    }
}

/// Why a message cannot be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It is not an object.
    #[error("the message is not an object")]
    NotAnObject,
    /// Its structure is broken.
    #[error("the message is not JSON")]
    Syntax,
    /// It nests beyond 1024 levels.
    #[error("the message is nested too deep")]
    TooDeep,
    /// A member that the edit depends on occurs twice.
    #[error("the message has two members {0:?}")]
    Duplicate(&'static str),
    /// It has none of `result`, `error` and `method`, or more than one.
    #[error("the message is not a response")]
    Shape,
    /// Its id is invalid.
    #[error("{0}")]
    Id(#[from] InvalidId),
    /// It is a result without an id.
    #[error("the response has no id")]
    MissingId,
    /// `resultType` is not a short string.
    #[error("\"resultType\" must be a short string")]
    ResultType,
    /// Text follows the message.
    #[error("text follows the message")]
    Trailing,
    /// The message does not end.
    #[error("the message does not end")]
    Unfinished,
}

impl From<TokenError> for StreamError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Syntax => Self::Syntax,
            TokenError::TooDeep => Self::TooDeep,
            TokenError::Trailing => Self::Trailing,
        }
    }
}
