//! The ids of events on resumable streams.
//!
//! `<sealed>.<number>`: the sealed part names the stream, its session and its replica, and is sealed once per stream;
//! the number is that of the event. A second dot separates what makes an id unique, which is ignored when it comes
//! back; only `end` says that no event follows. The number and the suffix are not sealed: a client that changes them
//! only misleads itself.

use std::fmt;

use portolan_client::failure;
use portolan_core::Error;
use portolan_wire::{era::Era, id::RequestId};

use crate::{
    codec::{Reader, Writer},
    replicas::{Handle, ReplicaLocation},
    seal::{Purpose, TokenKeys},
};

/// The mark of an event that no other follows.
const END: &str = "end";
/// The maximum length of the sealed part, so that an id fits into a header that every proxy accepts.
const MAX_SEALED: usize = 1900;

/// One stream of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    /// The session.
    pub(crate) session: Handle,
    /// The stream, and the replica that holds it.
    pub(crate) location: ReplicaLocation,
    /// The purpose of the stream.
    pub(crate) of: StreamKind,
}

/// The purpose of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// It answers a request.
    Request(RequestRef),
    /// It belongs to no request: a GET stream.
    Session,
}

/// The request that a stream answers: what an error response to it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestRef {
    /// Its id.
    pub(crate) id: RequestId,
    /// Whether it calls a tool.
    pub(crate) is_tool: bool,
}

/// The id of an event, as a client sends it in `Last-Event-ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The stream.
    pub(crate) stream: StreamId,
    /// The prefix of the stream's event ids.
    pub(crate) prefix: EventIdPrefix,
    /// The last event that the client received; 0 if none was.
    pub(crate) number: u64,
    /// Whether no event follows.
    pub(crate) is_end: bool,
}

/// The sealed part, shared by all event ids of a stream.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EventIdPrefix(Box<str>);

impl StreamId {
    /// Returns the prefix of this stream's event ids; `None` if it would be too long.
    pub(crate) fn seal(&self, keys: &TokenKeys) -> Option<EventIdPrefix> {
        let sealed = keys.seal(Purpose::Stream, &self.encode()).ok()?;
        (sealed.len() <= MAX_SEALED).then(|| EventIdPrefix(sealed.into()))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = self.location.write(Writer::default().fixed(&self.session));
        match &self.of {
            StreamKind::Session => writer.byte(0),
            StreamKind::Request(request_ref) => writer
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
    /// Returns the id of event `number`. If several events share a number, each needs its own `mark`.
    pub(crate) fn id(&self, number: u64, mark: Option<u64>) -> String {
        match mark {
            None => format!("{}.{number}", self.0),
            Some(mark) => format!("{}.{number}.{mark}", self.0),
        }
    }

    /// Returns the id of the last event of a stream.
    pub(crate) fn end(&self, number: u64) -> String {
        format!("{}.{number}.{END}", self.0)
    }
}

impl EventId {
    /// Opens an id that was sealed with these keys, whichever client sends it.
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
    /// Returns the error response to the request.
    pub(crate) fn failure(&self, error: &Error) -> bytes::Bytes {
        failure::response(Era::Legacy, self.is_tool, &self.id, error)
    }
}

impl fmt::Debug for EventIdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventIdPrefix")
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
        let location = |url: Option<&str>| ReplicaLocation {
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
            location: location(url),
            of,
        })
        .into()
    }

    #[test]
    fn ids_round_trip() {
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
    fn invalid_ids_are_rejected() {
        let (keys, other_keys) = (TokenKeys::random().expect("keys"), TokenKeys::random().expect("keys"));
        let prefix = streams()[0].seal(&keys).expect("short enough");
        let foreign = streams()[0].seal(&other_keys).expect("short enough").id(1, None);
        let server_request = keys
            .seal(Purpose::ServerRequest, &streams()[0].encode())
            .expect("sealed");
        for text in [
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
            assert_eq!(EventId::open(&keys, &text), None, "{text}");
        }
    }

    #[test]
    fn overlong_ids_are_refused() {
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
