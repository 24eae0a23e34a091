//! The ids of events on streams that can be taken up again.
//!
//! `<sealed>.<number>`: which stream of which session in which replica, sealed once for the stream, and the number of the
//! event on it. What else an id needs to be unique stands behind another dot, and means nothing when it comes back; only
//! `end` says that nothing follows the event. The number and what is behind it are not sealed: who changes them can deceive
//! nobody else.

use std::fmt;

use portolan_client::failure;
use portolan_core::Error;
use portolan_wire::{era::Era, id::RequestId};

use crate::{
    codec::{Reader, Writer},
    replicas::{Handle, ReplicaLocation},
    seal::{Purpose, TokenKeys},
};

/// The mark of an event after which there is nothing.
const END: &str = "end";
/// The longest sealed part: with the rest, an id fits into a header that every proxy takes.
const MAX_SEALED: usize = 1900;

/// One stream of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    /// The session.
    pub(crate) session: Handle,
    /// The stream, and the replica that has it.
    pub(crate) location: ReplicaLocation,
    /// What it is for.
    pub(crate) of: StreamKind,
}

/// What a stream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// It answers a request.
    Request(RequestRef),
    /// It belongs to no request: a GET stream.
    Session,
}

/// The request that a stream answers: enough to tell its client that there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestRef {
    /// Its id.
    pub(crate) id: RequestId,
    /// Whether it calls a tool.
    pub(crate) is_tool: bool,
}

/// The id of an event, as a client brings it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The stream.
    pub(crate) stream: StreamId,
    /// What its ids begin with.
    pub(crate) prefix: EventIdPrefix,
    /// The last event that was read; 0 if none was.
    pub(crate) number: u64,
    /// Whether nothing follows it.
    pub(crate) is_end: bool,
}

/// The sealed part, with which the ids of a stream are written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EventIdPrefix(Box<str>);

impl StreamId {
    /// What the ids of this stream begin with; nothing where they would be too long.
    pub(crate) fn seal(&self, keys: &TokenKeys) -> Option<EventIdPrefix> {
        let sealed = keys.seal(Purpose::Stream, &self.encode()).ok()?;
        (sealed.len() <= MAX_SEALED).then(|| EventIdPrefix(sealed.into()))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let begun = self.location.write(Writer::default().fixed(&self.session));
        match &self.of {
            StreamKind::Session => begun.byte(0),
            StreamKind::Request(request_ref) => begun
                .byte(if request_ref.is_tool { 2 } else { 1 })
                .bytes(request_ref.id.as_raw()),
        }
        .done()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let (session, location) = (reader.fixed()?, ReplicaLocation::read(&mut reader)?);
        let of = match reader.byte()? {
            0 => StreamKind::Session,
            kind @ (1 | 2) => StreamKind::Request(RequestRef {
                id: RequestId::parse(&reader.bytes()?.to_vec().into()).ok()?,
                is_tool: kind == 2,
            }),
            _ => return None,
        };
        reader.end()?;
        Some(Self { session, location, of })
    }
}

impl EventIdPrefix {
    /// The id of the event of this number; of several with one number, each needs its own `mark`.
    pub(crate) fn id(&self, number: u64, mark: Option<u64>) -> String {
        match mark {
            None => format!("{}.{number}", self.0),
            Some(mark) => format!("{}.{number}.{mark}", self.0),
        }
    }

    /// The id of an event after which there is nothing.
    pub(crate) fn end(&self, number: u64) -> String {
        format!("{}.{number}.{END}", self.0)
    }
}

impl EventId {
    /// An id that these keys made, whoever brings it.
    pub(crate) fn open(keys: &TokenKeys, text: &str) -> Option<Self> {
        let (sealed, rest) = text.split_once('.')?;
        let (number, mark) = rest.split_once('.').unwrap_or((rest, ""));
        Some(Self {
            stream: StreamId::decode(&keys.open(Purpose::Stream, sealed)?)?,
            prefix: EventIdPrefix(sealed.into()),
            number: number.parse().ok()?,
            is_end: mark == END,
        })
    }
}

impl RequestRef {
    /// The message that says why there is no answer.
    pub(crate) fn failure(&self, error: &Error) -> bytes::Bytes {
        failure::response(Era::Legacy, self.is_tool, &self.id, error)
    }
}

impl fmt::Debug for EventIdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stem")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn streams() -> Vec<StreamId> {
        let request = |id: &'static str, is_tool| {
            let id = RequestId::parse(&Bytes::from_static(id.as_bytes())).expect("an id");
            StreamKind::Request(RequestRef { id, is_tool })
        };
        let place = |url: Option<&str>| ReplicaLocation {
            replica: [3; 8],
            url: url.map(Into::into),
            handle: [4; 16],
        };
        [
            (Some("http://10.0.0.7:8080/mcp"), request("17", true)),
            (None, request("\"a.b\"", false)),
            (None, StreamKind::Session),
        ]
        .map(|(url, of)| StreamId {
            session: [1; 16],
            location: place(url),
            of,
        })
        .into()
    }

    #[test]
    fn what_is_written_is_read() {
        let keys = TokenKeys::random().expect("keys");
        for stream in streams() {
            let prefix = stream.seal(&keys).expect("short enough");
            for (text, number, is_end) in [
                (prefix.id(0, None), 0, false),
                (prefix.id(7, None), 7, false),
                (prefix.id(7, Some(3)), 7, false),
                (prefix.end(8), 8, true),
            ] {
                let read = EventId::open(&keys, &text).expect("an id");
                assert_eq!((&read.stream, read.number, read.is_end), (&stream, number, is_end));
            }
        }
    }

    #[test]
    fn ids_of_one_stream_differ() {
        let keys = TokenKeys::random().expect("keys");
        let prefix = streams()[0].seal(&keys).expect("short enough");
        let ids = [
            prefix.id(7, None),
            prefix.id(7, Some(0)),
            prefix.id(7, Some(1)),
            prefix.end(7),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id));
        }
    }

    #[test]
    fn nothing_else_is_an_id() {
        let (keys, others) = (TokenKeys::random().expect("keys"), TokenKeys::random().expect("keys"));
        let prefix = streams()[0].seal(&keys).expect("short enough");
        let foreign = streams()[0].seal(&others).expect("short enough").id(1, None);
        let server_request = keys
            .seal(Purpose::ServerRequest, &streams()[0].encode())
            .expect("sealed");
        for odd in [
            foreign,
            format!("{server_request}.1"),
            prefix.0.to_string(),
            format!("{}.", prefix.0),
            format!("{}.-1", prefix.0),
            format!("{}.x", prefix.0),
            format!("{}.99999999999999999999999", prefix.0),
            format!("{}A.1", prefix.0),
            String::new(),
            ".".into(),
            "1".into(),
        ] {
            assert_eq!(EventId::open(&keys, &odd), None, "{odd}");
        }
    }

    #[test]
    fn an_id_too_long_for_a_header_is_not_given() {
        let keys = TokenKeys::random().expect("keys");
        let long = format!("\"{}\"", "x".repeat(RequestId::MAX_LEN - 2));
        let mut stream = streams().remove(0);
        stream.of = StreamKind::Request(RequestRef {
            id: RequestId::parse(&long.into()).expect("an id"),
            is_tool: true,
        });
        stream.location.url = Some("u".repeat(100).into());
        assert!(
            stream
                .seal(&keys)
                .is_some_and(|prefix| prefix.end(u64::MAX).len() < 2048)
        );
        stream.location.url = Some("u".repeat(1000).into());
        assert!(stream.seal(&keys).is_none());
    }
}
