//! Edits the members of a response and of its result.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Edit, MessageHead, MessageKind, ResultType, StreamError, cursor::ChunkCursor};
use crate::{
    id::{InvalidId, RequestId},
    object,
    tokenizer::{Container, Handler, Tokenizer, ValueAction},
};

const COMPLETE: &[u8] = br#","resultType":"complete""#;
const UNCACHED: &[u8] = br#","resultType":"complete","ttlMs":0,"cacheScope":"private""#;

/// Edits one response, chunk by chunk.
#[derive(Debug)]
pub(super) struct ResponseRewriter {
    tokenizer: Tokenizer,
    response: Response,
}

/// What is known of the response so far.
#[derive(Debug)]
struct Response {
    edit: Edit,
    /// The present members are those of the result, not of the message.
    in_result: bool,
    member: Member,
    /// The value of an id or a result type, as far as it has come.
    value: Vec<u8>,
    pending: Pending,
    has_id: bool,
    head: MessageHead,
}

/// The response, and the chunk that is being edited.
struct ChunkEditor<'r, 'c, E> {
    response: &'r mut Response,
    cursor: ChunkCursor<'c, E>,
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
    /// Nothing: all is passed on.
    Nothing,
    /// A key that may be `resultType`. White space between its comma and itself is dropped, so that the output does not
    /// depend on the chunks.
    Held { comma: bool, gap: bool },
    /// A `resultType` member, or the rest of one.
    Stripped { comma: bool },
    /// An id.
    Id,
}

impl ResponseRewriter {
    pub(super) fn new(edit: Edit) -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            response: Response {
                edit,
                in_result: false,
                member: Member::Other,
                value: Vec::new(),
                pending: Pending::Nothing,
                has_id: false,
                head: MessageHead::default(),
            },
        }
    }

    pub(super) fn head(&self) -> &MessageHead {
        &self.response.head
    }

    /// Takes the next chunk and writes what is certain to `out`.
    pub(super) fn push(&mut self, chunk: &Bytes, out: &mut impl Extend<Bytes>) -> Result<(), StreamError> {
        let is_silent = self.response.pending != Pending::Nothing;
        let mut editor = ChunkEditor {
            response: &mut self.response,
            cursor: ChunkCursor::new(chunk, is_silent, out),
        };
        let pushed = self.tokenizer.push(chunk, &mut editor);
        editor.cursor.finish();
        pushed
    }

    pub(super) fn finish(self) -> Result<MessageHead, StreamError> {
        let head = self.response.head;
        match head.kind {
            _ if !self.tokenizer.is_complete() => Err(StreamError::Unfinished),
            None => Err(StreamError::Shape),
            Some(MessageKind::Result) if head.id.is_none() => Err(StreamError::MissingId),
            Some(_) => Ok(head),
        }
    }
}

impl Response {
    fn strips(&self) -> bool {
        self.in_result && self.edit.result_type == ResultType::Strip
    }

    fn recognise(&mut self, key: &[u8]) -> Result<Member, StreamError> {
        let decoded;
        let key = if key.contains(&b'\\') {
            decoded = object::unescape(key);
            decoded.as_bytes()
        } else {
            key
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

    fn capture(&mut self, part: &[u8]) -> Result<(), StreamError> {
        if self.value.len() + part.len() > RequestId::MAX_LEN {
            return Err(match self.member {
                Member::Id => InvalidId::TooLong.into(),
                _ => StreamError::ResultType,
            });
        }
        self.value.extend_from_slice(part);
        Ok(())
    }
}

impl<E: Extend<Bytes>> ChunkEditor<'_, '_, E> {
    /// Decides whether a key that was held back is passed on.
    fn settle(&mut self, key: &[u8], at: usize, is_closed: bool) {
        let Pending::Held { comma, gap } = self.response.pending else {
            return;
        };
        if self.response.member == Member::ResultType {
            self.cursor.drop_held();
            self.response.pending = Pending::Stripped { comma };
            return;
        }
        self.response.pending = Pending::Nothing;
        if gap {
            self.cursor.drop_held();
        }
        if !self.cursor.keep() {
            let mut piece = BytesMut::with_capacity(key.len() + 3);
            piece.put_slice(if comma { b",\"" } else { b"\"" });
            piece.put_slice(key);
            piece.put_slice(if is_closed { b"\"" } else { b"" });
            self.cursor.insert(at, piece.freeze());
            self.cursor.resume(at);
        }
    }

    fn hold(&mut self, at: usize, comma: bool) {
        self.cursor.hold(at);
        self.response.pending = Pending::Held { comma, gap: false };
    }
}

impl<E: Extend<Bytes>> Handler for ChunkEditor<'_, '_, E> {
    type Error = StreamError;
    /// The longest spelling of a key that matters: `resultType`, all in escapes.
    const MAX_KEY: usize = 60;
    /// 1024 with the message and its result.
    const MAX_SKIPPED_DEPTH: u32 = 1022;

    fn space(&mut self) {
        if let Pending::Held { gap, .. } = &mut self.response.pending {
            *gap = true;
        }
    }

    fn comma(&mut self, at: usize) {
        // The comma goes with the member after it, or is dropped if all members before it are.
        if self.response.strips() && self.response.pending != (Pending::Stripped { comma: false }) {
            self.hold(at, true);
        }
    }

    fn key_start(&mut self, at: usize) {
        if self.response.strips() && !matches!(self.response.pending, Pending::Held { .. }) {
            self.hold(at, false);
        }
    }

    fn key(&mut self, key: &[u8], at: usize) -> Result<(), StreamError> {
        self.response.member = self.response.recognise(key)?;
        self.settle(key, at, true);
        Ok(())
    }

    fn long_key(&mut self, key: &[u8], at: usize) {
        self.response.member = Member::Other;
        self.settle(key, at, false);
    }

    fn value(&mut self, first: u8, at: usize, parent: Option<Container>) -> Result<ValueAction, StreamError> {
        let response = &mut *self.response;
        match (response.member, first) {
            _ if parent.is_none() && first != b'{' => return Err(StreamError::NotAnObject),
            _ if parent.is_none() => return Ok(ValueAction::Enter),
            (Member::Id, b'{' | b'[') => return Err(InvalidId::NotAnId.into()),
            (Member::Id, _) => {
                self.cursor.insert(at, response.edit.id.to_bytes());
                self.cursor.stop(at);
                response.pending = Pending::Id;
            }
            (Member::ResultType, b'"') => {}
            (Member::ResultType, _) => return Err(StreamError::ResultType),
            (Member::Result, b'{') => {
                response.in_result = true;
                return Ok(ValueAction::Enter);
            }
            _ => return Ok(ValueAction::Skip),
        }
        response.value.clear();
        response.capture(&[first])?;
        Ok(ValueAction::Capture)
    }

    fn value_part(&mut self, part: &[u8]) -> Result<(), StreamError> {
        self.response.capture(part)
    }

    fn value_end(&mut self, at: usize) -> Result<(), StreamError> {
        let response = &mut *self.response;
        let raw = Bytes::copy_from_slice(&response.value);
        if response.member == Member::ResultType {
            response.head.result_type = Some(raw);
            return Ok(());
        }
        if &raw[..] != b"null" {
            response.head.id = Some(RequestId::parse(&raw)?);
        }
        response.pending = Pending::Nothing;
        self.cursor.resume(at);
        Ok(())
    }

    fn close(&mut self, at: usize, is_empty: bool) {
        let response = &mut *self.response;
        if !response.in_result {
            return;
        }
        if let Pending::Stripped { .. } = response.pending {
            response.pending = Pending::Nothing;
            self.cursor.resume(at);
        }
        let missing = match response.edit.result_type {
            ResultType::Ensure => Some(COMPLETE),
            ResultType::EnsureUncached => Some(UNCACHED),
            ResultType::Keep | ResultType::Strip => None,
        };
        if let Some(piece) = missing.filter(|_| response.head.result_type.is_none()) {
            // Without its comma if it is the only member.
            self.cursor
                .insert(at, Bytes::from_static(&piece[usize::from(is_empty)..]));
        }
        response.in_result = false;
        response.member = Member::Other;
    }
}
