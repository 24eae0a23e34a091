//! Walks through the members of a message and of its result.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Edit, MessageHead, MessageKind, ResultType, StreamError,
    cut::ChunkCursor,
    skip::{Nested, Text},
};
use crate::{
    id::{InvalidId, RequestId},
    object,
};

/// The longest spelling of a key we look for: `resultType`, all in escapes.
const MAX_KEY: usize = 60;

const COMPLETE: &[u8] = br#","resultType":"complete""#;
const UNCACHED: &[u8] = br#","resultType":"complete","ttlMs":0,"cacheScope":"private""#;

#[derive(Debug)]
pub(super) struct ResponseRewriter {
    edit: Edit,
    state: State,
    /// Whether the members walked are those of the result, not of the message.
    in_result: bool,
    member: Member,
    key: Vec<u8>,
    /// The value of an id or a result type, as it comes.
    value: Vec<u8>,
    pending: Pending,
    has_id: bool,
    head: MessageHead,
}

/// What is expected next.
#[derive(Debug)]
enum State {
    Message,
    FirstKey,
    NextKey,
    Key { escaped: bool, captured: bool },
    Colon,
    Value,
    Scalar,
    Text(Text),
    Nested(Nested),
    AfterValue,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Id,
    Result,
    Error,
    Method,
    ResultType,
    Other,
}

/// What is not passed on at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// Nothing: all is.
    Nothing,
    /// A key of which it is not known yet whether its member stays. White space between its comma
    /// and itself is dropped, so that what comes out does not depend on the chunks.
    Held { comma: bool, gap: bool },
    /// A `resultType` member, or what is left of one.
    Stripped { comma: bool },
    /// An id.
    Id,
}

impl ResponseRewriter {
    pub(super) fn new(edit: Edit) -> Self {
        Self {
            edit,
            state: State::Message,
            in_result: false,
            member: Member::Other,
            key: Vec::new(),
            value: Vec::new(),
            pending: Pending::Nothing,
            has_id: false,
            head: MessageHead::default(),
        }
    }

    pub(super) fn head(&self) -> &MessageHead {
        &self.head
    }

    /// Takes the next chunk and gives out what can be.
    pub(super) fn push(&mut self, chunk: Bytes, out: &mut impl Extend<Bytes>) -> Result<(), StreamError> {
        let mut cut = ChunkCursor::new(chunk, self.is_silent(), out);
        let walked = self.run(&mut cut);
        cut.finish();
        walked
    }

    /// Whether a chunk that begins now begins with something not passed on yet, or ever.
    fn is_silent(&self) -> bool {
        self.pending != Pending::Nothing
    }

    pub(super) fn finish(self) -> Result<MessageHead, StreamError> {
        match (self.state, self.head.kind) {
            (State::End, None) => Err(StreamError::Shape),
            (State::End, Some(MessageKind::Result)) if self.head.id.is_none() => Err(StreamError::MissingId),
            (State::End, Some(_)) => Ok(self.head),
            _ => Err(StreamError::Unfinished),
        }
    }

    /// Walks through one chunk. Each step takes at least a byte, or ends a value.
    fn run<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>) -> Result<(), StreamError> {
        let mut at = 0;
        while at < cut.text().len() {
            at = match &mut self.state {
                State::Key { .. } => self.in_key(cut, at)?,
                State::Scalar => self.in_scalar(cut, at)?,
                State::Text(text) => {
                    let end = text.skip(cut.text(), at);
                    self.in_value(cut, at, end)?
                }
                State::Nested(nested) => {
                    let end = nested.skip(cut.text(), at)?;
                    self.in_value(cut, at, end)?
                }
                _ => self.between(cut, at)?,
            };
        }
        Ok(())
    }

    /// A byte outside of keys and values.
    fn between<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize) -> Result<usize, StreamError> {
        let byte = cut.text()[at];
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            if let Pending::Held { gap, .. } = &mut self.pending {
                *gap = true;
            }
            return Ok(at + 1);
        }
        match (&self.state, byte) {
            (State::Message, b'{') => self.state = State::FirstKey,
            (State::Message, _) => return Err(StreamError::NotAnObject),
            (State::FirstKey, b'}') => self.close(cut, at, true),
            (State::FirstKey | State::NextKey, b'"') => self.begin_key(cut, at),
            (State::Colon, b':') => self.state = State::Value,
            (State::Value, _) => return self.begin_value(cut, at, byte),
            (State::AfterValue, b',') => self.comma(cut, at),
            (State::AfterValue, b'}') => self.close(cut, at, false),
            (State::End, _) => return Err(StreamError::Trailing),
            _ => return Err(StreamError::Syntax),
        }
        Ok(at + 1)
    }

    fn strips(&self) -> bool {
        self.in_result && self.edit.result_type == ResultType::Strip
    }

    fn comma<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize) {
        self.state = State::NextKey;
        // The comma goes with the member after it, or away if all before it is gone.
        if self.strips() && self.pending != (Pending::Stripped { comma: false }) {
            cut.hold(at);
            self.pending = Pending::Held {
                comma: true,
                gap: false,
            };
        }
    }

    fn begin_key<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize) {
        self.key.clear();
        self.state = State::Key {
            escaped: false,
            captured: true,
        };
        if self.strips() && !matches!(self.pending, Pending::Held { .. }) {
            cut.hold(at);
            self.pending = Pending::Held {
                comma: false,
                gap: false,
            };
        }
    }

    fn in_key<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, mut at: usize) -> Result<usize, StreamError> {
        let State::Key {
            mut escaped,
            mut captured,
        } = self.state
        else {
            return Err(StreamError::Syntax);
        };
        while let Some(&byte) = cut.text().get(at) {
            at += 1;
            match byte {
                b'"' if !escaped => {
                    if captured {
                        self.member = self.recognise()?;
                        self.settle(cut, at, true);
                    }
                    self.state = State::Colon;
                    return Ok(at);
                }
                0..0x20 => return Err(StreamError::Syntax),
                _ => escaped = byte == b'\\' && !escaped,
            }
            if captured {
                self.key.push(byte);
                if self.key.len() > MAX_KEY {
                    captured = false;
                    self.member = Member::Other;
                    self.settle(cut, at, false);
                }
            }
        }
        self.state = State::Key { escaped, captured };
        Ok(at)
    }

    /// Decides what becomes of a key held back.
    fn settle<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize, closed: bool) {
        let Pending::Held { comma, gap } = self.pending else {
            return;
        };
        if self.member == Member::ResultType {
            cut.drop_held();
            self.pending = Pending::Stripped { comma };
            return;
        }
        self.pending = Pending::Nothing;
        if gap {
            cut.drop_held();
        }
        if !cut.keep() {
            let mut piece = BytesMut::with_capacity(self.key.len() + 3);
            piece.put_slice(if comma { b",\"" } else { b"\"" });
            piece.put_slice(&self.key);
            piece.put_slice(if closed { b"\"" } else { b"" });
            cut.insert(at, piece.freeze());
            cut.resume(at);
        }
    }

    fn recognise(&mut self) -> Result<Member, StreamError> {
        let decoded;
        let key = if self.key.contains(&b'\\') {
            decoded = object::unescape(&self.key);
            decoded.as_bytes()
        } else {
            &self.key
        };
        let kind = match (self.in_result, key) {
            (false, b"id") if self.has_id => return Err(StreamError::Duplicate("id")),
            (false, b"id") => {
                self.has_id = true;
                return Ok(Member::Id);
            }
            (false, b"result") => MessageKind::Result,
            (false, b"error") => MessageKind::Error,
            (false, b"method") => MessageKind::Method,
            (true, b"resultType") if self.head.result_type.is_some() => {
                return Err(StreamError::Duplicate("resultType"));
            }
            (true, b"resultType") => return Ok(Member::ResultType),
            (true, b"content" | b"structuredContent" | b"contents" | b"messages") => {
                self.head.answers = true;
                return Ok(Member::Other);
            }
            _ => return Ok(Member::Other),
        };
        if self.head.kind.replace(kind).is_some() {
            return Err(StreamError::Shape);
        }
        Ok(match kind {
            MessageKind::Result => Member::Result,
            MessageKind::Error => Member::Error,
            MessageKind::Method => Member::Method,
        })
    }

    fn begin_value<E: Extend<Bytes>>(
        &mut self,
        cut: &mut ChunkCursor<'_, E>,
        at: usize,
        first: u8,
    ) -> Result<usize, StreamError> {
        let container = matches!(first, b'{' | b'[');
        match self.member {
            Member::Id if container => return Err(InvalidId::NotAnId.into()),
            Member::ResultType if first != b'"' => return Err(StreamError::ResultType),
            Member::Id => {
                cut.insert(at, self.edit.id.to_bytes());
                cut.stop(at);
                self.pending = Pending::Id;
            }
            Member::Result if first == b'{' => {
                self.in_result = true;
                self.state = State::FirstKey;
                return Ok(at + 1);
            }
            _ => {}
        }
        self.value.clear();
        self.state = match first {
            b'"' => State::Text(Text::default()),
            b'{' | b'[' => State::Nested(Nested::new(first)),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => State::Scalar,
            _ => return Err(StreamError::Syntax),
        };
        self.capture(&[first])?;
        Ok(at + 1)
    }

    fn in_scalar<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize) -> Result<usize, StreamError> {
        let end = cut.text()[at..]
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            .map(|length| at + length);
        self.in_value(cut, at, end)
    }

    /// The value goes on to `end`, or beyond the chunk.
    fn in_value<E: Extend<Bytes>>(
        &mut self,
        cut: &mut ChunkCursor<'_, E>,
        at: usize,
        end: Option<usize>,
    ) -> Result<usize, StreamError> {
        let until = end.unwrap_or_else(|| cut.text().len());
        self.capture(&cut.text()[at..until])?;
        if end.is_some() {
            self.state = State::AfterValue;
            self.end_value(cut, until)?;
        }
        Ok(until)
    }

    fn capture(&mut self, part: &[u8]) -> Result<(), StreamError> {
        let too_long = match self.member {
            Member::Id => InvalidId::TooLong.into(),
            Member::ResultType => StreamError::ResultType,
            _ => return Ok(()),
        };
        if self.value.len() + part.len() > RequestId::MAX_LEN {
            return Err(too_long);
        }
        self.value.extend_from_slice(part);
        Ok(())
    }

    fn end_value<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize) -> Result<(), StreamError> {
        match self.member {
            Member::Id => {
                let raw = Bytes::copy_from_slice(&self.value);
                if &raw[..] != b"null" {
                    self.head.id = Some(RequestId::parse(&raw)?);
                }
                self.pending = Pending::Nothing;
                cut.resume(at);
            }
            Member::ResultType => {
                self.head.result_type = Some(Bytes::copy_from_slice(&self.value));
            }
            _ => {}
        }
        Ok(())
    }

    /// A closing brace, of the result or of the message.
    fn close<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize, empty: bool) {
        if !self.in_result {
            self.state = State::End;
            return;
        }
        if let Pending::Stripped { .. } = self.pending {
            self.pending = Pending::Nothing;
            cut.resume(at);
        }
        let missing = match self.edit.result_type {
            ResultType::Ensure => Some(COMPLETE),
            ResultType::EnsureUncached => Some(UNCACHED),
            ResultType::Keep | ResultType::Strip => None,
        };
        if let Some(piece) = missing.filter(|_| self.head.result_type.is_none()) {
            // Without its comma, where nothing stands before it.
            cut.insert(at, Bytes::from_static(&piece[usize::from(empty)..]));
        }
        self.in_result = false;
        self.member = Member::Other;
        self.state = State::AfterValue;
    }
}
