//! Parses messages.

use bytes::Bytes;

use super::{Incoming, Message, Notification, Outcome, Request, Response};
use crate::{
    error::{ErrorObject, INVALID_REQUEST, PARSE_ERROR},
    id::{InvalidId, RequestId},
    method::Method,
    object,
    scan::{Fault, JsonKind, Scanner, Value},
};

/// The longest method name, in bytes.
const MAX_METHOD: usize = 256;

/// Limits of a message. Its length is for the transport to limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// How deep objects and arrays may nest, the message itself included. Default: 128. At most 1024 has an effect.
    pub depth: u32,
    /// How many messages a batch may have. Default: 100.
    pub batch: usize,
}

impl Default for ParseLimits {
    /// 128 levels, 100 messages.
    fn default() -> Self {
        Self { depth: 128, batch: 100 }
    }
}

/// Why a text is not a message, and the id of its response if that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{malformed}")]
pub struct ParseError {
    /// The problem.
    pub malformed: Malformed,
    /// The id of the malformed message.
    pub id: Option<RequestId>,
}

impl ParseError {
    /// Returns the JSON-RPC code: -32700 if the text is not JSON, -32600 if it is not a message.
    pub fn code(&self) -> i64 {
        self.malformed.code()
    }

    /// Returns the error to respond with.
    pub fn object(&self) -> ErrorObject {
        ErrorObject::new(self.code(), self.malformed.to_string())
    }
}

/// The problem of a malformed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("the message is not JSON")]
    NotJson,
    /// Nested deeper than [`ParseLimits::depth`].
    #[error("the message is nested too deep")]
    TooDeep,
    /// JSON, but neither an object nor an array of objects.
    #[error("the message is not an object")]
    NotAnObject,
    /// An empty batch.
    #[error("the batch is empty")]
    EmptyBatch,
    /// A batch longer than [`ParseLimits::batch`].
    #[error("the batch is too long")]
    LongBatch,
    /// A member that JSON-RPC defines occurs twice.
    #[error("member {0:?} occurs twice")]
    Duplicate(&'static str),
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("\"jsonrpc\" must be \"2.0\"")]
    Version,
    /// The id is invalid.
    #[error("{0}")]
    Id(#[from] InvalidId),
    /// `method` is not a string, or too long.
    #[error("\"method\" must be a string of at most {MAX_METHOD} bytes")]
    Method,
    /// `params` is not an object, as MCP requires.
    #[error("\"params\" must be an object")]
    Params,
    /// `error` is not an object.
    #[error("\"error\" must be an object")]
    Error,
    /// Not exactly one of method, result and error; or a result without an id.
    #[error("the message is neither a request, nor a notification, nor a response")]
    Shape,
}

impl Malformed {
    /// Returns the JSON-RPC code.
    pub fn code(self) -> i64 {
        match self {
            Self::NotUtf8 | Self::NotJson | Self::TooDeep => PARSE_ERROR,
            _ => INVALID_REQUEST,
        }
    }
}

/// Parses one HTTP body or one stdio line.
///
/// It checks the whole text to be UTF-8 and JSON, in one pass. All parts of the result are slices of `text`. Members that
/// JSON-RPC does not define are ignored.
///
/// ```
/// use portolan_wire::{Bytes, envelope::{self, Incoming, Message, ParseLimits}};
///
/// let text = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#);
/// let Incoming::One(Message::Request(request)) = envelope::parse(&text, &ParseLimits::default())? else { panic!() };
/// assert_eq!((request.method.as_str(), request.params.unwrap()), ("tools/call", r#"{"name":"echo"}"#.into()));
/// # Ok::<(), envelope::ParseError>(())
/// ```
///
/// # Errors
///
/// [`ParseError`] with the id of the message, if that could be read.
pub fn parse(text: &Bytes, limits: &ParseLimits) -> Result<Incoming, ParseError> {
    if std::str::from_utf8(text).is_err() {
        return Err(Malformed::NotUtf8.into());
    }
    let mut scanner = Scanner::new(text, limits.depth);
    let incoming = match scanner.peek() {
        Some(b'[') => batch(text, &mut scanner, limits)?,
        Some(b'{') => Incoming::One(Members::read(text, &mut scanner)?.message(&mut scanner, true)?),
        _ => {
            scanner.value()?;
            scanner.end()?;
            return Err(Malformed::NotAnObject.into());
        }
    };
    Ok(incoming)
}

fn batch(text: &Bytes, scanner: &mut Scanner<'_>, limits: &ParseLimits) -> Result<Incoming, ParseError> {
    scanner.enter(b'[')?;
    if scanner.take(b']') {
        scanner.end()?;
        return Err(Malformed::EmptyBatch.into());
    }
    let mut messages = Vec::new();
    loop {
        if messages.len() == limits.batch {
            return Err(Malformed::LongBatch.into());
        }
        if scanner.peek() != Some(b'{') {
            scanner.value()?;
            return Err(Malformed::NotAnObject.into());
        }
        messages.push(Members::read(text, scanner)?.message(scanner, false)?);
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect(b']')?;
    scanner.end()?;
    Ok(Incoming::Batch(messages))
}

/// The members that JSON-RPC defines, found but not checked yet.
#[derive(Default)]
struct Members {
    version: bool,
    id: Option<Found>,
    method: Option<Found>,
    params: Option<Found>,
    result: Option<Found>,
    error: Option<Found>,
    duplicate: Option<&'static str>,
    has_version: bool,
}

struct Found {
    kind: JsonKind,
    raw: Bytes,
}

impl Members {
    fn read(text: &Bytes, scanner: &mut Scanner<'_>) -> Result<Self, ParseError> {
        let mut members = Self::default();
        scanner.enter(b'{')?;
        if !scanner.take(b'}') {
            loop {
                let key = scanner.key()?;
                let value = scanner.value()?;
                if key.escaped {
                    let name = object::unescape(&text[key.range]);
                    members.put(name.as_bytes(), text, value);
                } else {
                    members.put(&text[key.range], text, value);
                }
                if !scanner.take(b',') {
                    break;
                }
            }
            scanner.expect(b'}')?;
        }
        scanner.leave();
        Ok(members)
    }

    fn put(&mut self, key: &[u8], text: &Bytes, value: Value) {
        let (slot, name) = match key {
            b"jsonrpc" => {
                if self.has_version {
                    self.duplicate = Some("jsonrpc");
                }
                self.has_version = true;
                self.version = object::is_text(&text[value.range], "2.0");
                return;
            }
            b"id" => (&mut self.id, "id"),
            b"method" => (&mut self.method, "method"),
            b"params" => (&mut self.params, "params"),
            b"result" => (&mut self.result, "result"),
            b"error" => (&mut self.error, "error"),
            _ => return,
        };
        if slot.is_some() {
            self.duplicate = Some(name);
        }
        *slot = Some(Found {
            kind: value.kind,
            raw: text.slice(value.range),
        });
    }

    fn message(mut self, scanner: &mut Scanner<'_>, alone: bool) -> Result<Message, ParseError> {
        if alone {
            scanner.end()?;
        }
        let null_id = self.id.as_ref().is_some_and(|id| matches!(id.kind, JsonKind::Null));
        let (id, id_fault) = match self.id.take().map(Found::id) {
            None => (None, None),
            Some(Ok(id)) => (id, None),
            Some(Err(fault)) => (None, Some(fault)),
        };
        let judged = match (self.duplicate, id_fault) {
            // Which of two ids would be the right one to answer under?
            (Some("id"), _) => return Err(Malformed::Duplicate("id").into()),
            (Some(name), _) => Err(Malformed::Duplicate(name)),
            (None, Some(fault)) => Err(fault.into()),
            (None, None) => self.judge(id.clone(), null_id),
        };
        judged.map_err(|malformed| ParseError { malformed, id })
    }

    /// `id` is `Some(None)`-free: a null id has been removed in [`Found::id`].
    fn judge(self, id: Option<RequestId>, null_id: bool) -> Result<Message, Malformed> {
        if !self.version {
            return Err(Malformed::Version);
        }
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let method = method.method()?;
                let params = self.params.map(Found::params).transpose()?;
                Ok(match id {
                    Some(id) => Message::Request(Request { id, method, params }),
                    None => Message::Notification(Notification {
                        method,
                        params,
                        null_id,
                    }),
                })
            }
            (None, Some(result), None) if id.is_some() => Ok(Message::Response(Response {
                id,
                outcome: Outcome::Result(result.raw),
            })),
            (None, None, Some(error)) if error.kind == JsonKind::Object => Ok(Message::Response(Response {
                id,
                outcome: Outcome::Error(error.raw),
            })),
            (None, None, Some(_)) => Err(Malformed::Error),
            _ => Err(Malformed::Shape),
        }
    }
}

impl Found {
    fn id(self) -> Result<Option<RequestId>, InvalidId> {
        match self.kind {
            JsonKind::String | JsonKind::Number => RequestId::from_scanned(self.raw).map(Some),
            JsonKind::Null => Ok(None),
            _ => Err(InvalidId::NotAnId),
        }
    }

    fn method(self) -> Result<Method, Malformed> {
        match object::text(&self.raw) {
            Some(name) if name.len() <= MAX_METHOD => Ok(Method::parse(&name)),
            _ => Err(Malformed::Method),
        }
    }

    fn params(self) -> Result<Bytes, Malformed> {
        match self.kind {
            JsonKind::Object => Ok(self.raw),
            _ => Err(Malformed::Params),
        }
    }
}

impl From<Malformed> for ParseError {
    fn from(malformed: Malformed) -> Self {
        Self { malformed, id: None }
    }
}

impl From<Fault> for ParseError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax => Malformed::NotJson.into(),
            Fault::TooDeep => Malformed::TooDeep.into(),
        }
    }
}
