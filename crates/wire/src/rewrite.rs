//! A response edited while it flows by, without being held.
//!
//! A tool's result may be megabytes of text of which the gateway has to change the id and one
//! small member. [`ResponseStream`] finds them as the chunks come and passes the rest on as
//! slices of those same chunks. It can put text into strings at known places, such as URIs.

mod cut;
mod insert;
mod skip;
mod walk;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use self::insert::{JsonPath, StringPrefix};
use self::{insert::InsertStream, walk::ResponseRewriter};
use crate::id::{InvalidId, RequestId};

/// What to change in a response.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Written in place of whatever id the message has.
    pub id: RequestId,
    /// What becomes of `resultType`.
    pub result_type: ResultType,
}

/// What becomes of the `resultType` member of a result, which 2026-07-28 requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// It stays as it is.
    Keep,
    /// `"resultType":"complete"` is added as the last member where it is missing.
    Ensure,
    /// The same for a result that has to say how long it may be kept: with `"ttlMs":0,"cacheScope":"private"` after it.
    EnsureUncached,
    /// It is dropped.
    Strip,
}

/// What a message turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A response with a result.
    Result,
    /// A response with an error.
    Error,
    /// A request or a notification: it has a method.
    Method,
}

/// What has been seen of a message so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageHead {
    /// The id the message came with; none if it was null.
    pub id: Option<RequestId>,
    /// What the message is.
    pub kind: Option<MessageKind>,
    /// The raw JSON of `resultType`.
    pub result_type: Option<Bytes>,
    /// Whether the result has a member that answers: `content`, `structuredContent`, `contents` or `messages`. One that
    /// asks for input has none.
    pub answers: bool,
}

/// Edits one JSON-RPC response that comes in arbitrary chunks.
///
/// What it gives out does not depend on how the chunks are cut, except for being cut likewise.
/// It holds back less than 100 bytes. It checks the structure of the message and of `result` at
/// their top; the values inside are skipped, with nesting counted and strings minded. So its
/// output is JSON if its input is, and a damaged input is not always found out.
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
    walk: ResponseRewriter,
    /// What is put into the text besides.
    inserts: Option<Box<InsertStream>>,
    failed: Option<StreamError>,
}

impl ResponseStream {
    /// Edits the next message like this.
    pub fn new(edit: Edit) -> Self {
        Self {
            walk: ResponseRewriter::new(edit),
            inserts: None,
            failed: None,
        }
    }

    /// The same, with text put into the strings at a place of the message. Where there are places, the structure of the
    /// message is checked further down.
    #[must_use]
    pub fn inserting(self, place: JsonPath, insertion: StringPrefix) -> Self {
        Self {
            inserts: Some(Box::new(InsertStream::new(place, insertion))),
            ..self
        }
    }

    /// Takes the next chunk and gives out what can be.
    ///
    /// After an error the message is beyond repair: what was given out should not be completed.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl Extend<Bytes>) -> Result<(), StreamError> {
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        let pushed = match &mut self.inserts {
            None => self.walk.push(chunk, out),
            Some(inserts) => {
                let mut edited: Vec<Bytes> = Vec::with_capacity(4);
                let pushed = self.walk.push(chunk, &mut edited);
                pushed.and_then(|()| edited.into_iter().try_for_each(|piece| inserts.push(piece, out)))
            }
        };
        self.failed = pushed.err();
        pushed
    }

    /// What has been seen so far: enough, after a chunk or two, to treat an error otherwise.
    pub fn head(&self) -> &MessageHead {
        self.walk.head()
    }

    /// Ends the message and says what it was.
    pub fn finish(self) -> Result<MessageHead, StreamError> {
        match self.failed {
            Some(fault) => Err(fault),
            None => {
                if let Some(inserts) = self.inserts {
                    inserts.finish()?;
                }
                self.walk.finish()
            }
        }
    }
}

/// Why a message cannot be passed on.
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
    /// A member the edit depends on is there twice.
    #[error("member {0:?} is there twice")]
    Duplicate(&'static str),
    /// It has none, or more than one, of `result`, `error` and `method`.
    #[error("the message is not a response")]
    Shape,
    /// Its id cannot be one.
    #[error("{0}")]
    Id(#[from] InvalidId),
    /// A result came without an id, so there was no place to write one.
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
