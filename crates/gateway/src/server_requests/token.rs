//! The sealed tokens of server requests: request ids, and the `requestState` of calls that wait for responses.

use portolan_client::UpstreamSessionRef;
use portolan_core::InstallName;

use crate::{
    codec::{Reader, Writer},
    replicas::ReplicaLocation,
    task_ids::{read_session_ref, write_session_ref},
};

/// The payload of the id of a server request to a legacy client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerRequestId {
    /// The client's session.
    pub(crate) session: [u8; 16],
    /// The receiver of the response.
    pub(crate) to: ResponseRoute,
}

/// The receiver of a client's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResponseRoute {
    /// A legacy server, which any replica can reach.
    Server {
        /// The install of the server.
        install: InstallName,
        /// The upstream session.
        session_ref: UpstreamSessionRef,
        /// The server's id of the request, raw.
        id: Box<[u8]>,
    },
    /// A call in flight in one replica.
    Call {
        /// The call and its replica.
        location: ReplicaLocation,
        /// The key of the request in that call.
        key: u64,
    },
}

/// The payload of a `requestState`, which a modern client sends back with its responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// The caller and the gateway.
    pub(crate) bound_to: [u8; 16],
    /// The install that the call goes to.
    pub(crate) install: InstallName,
    /// The digest of the client's request.
    pub(crate) digest: [u8; 16],
    /// The expiry, in seconds.
    pub(crate) expires: i64,
    /// The number of `input_required` results of this call so far.
    pub(crate) round: u64,
    /// How the call continues with the responses.
    pub(crate) continuation: Continuation,
}

/// How a call continues with the client's responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// Send them to a modern server, with the state that it returned.
    Wrapped(Box<str>),
    /// Send the call again.
    Again,
    /// Pass them to a call suspended in one replica.
    Suspended(ReplicaLocation),
    /// Send them to a legacy server, and resume its stream.
    StreamCheckpointState(StreamCheckpointState),
    /// Send them to the task that the call became.
    Task(TaskContinuation),
}

/// A call at a legacy server whose stream was closed to be resumed later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamCheckpointState {
    /// The upstream session.
    pub(crate) session_ref: UpstreamSessionRef,
    /// The id of the call at the server, raw.
    pub(crate) call: Box<[u8]>,
    /// The id of the last event read from its stream.
    pub(crate) event: Box<str>,
    /// The number of keys used in this call so far.
    pub(crate) key_count: u64,
    /// The requests without a response.
    pub(crate) server_requests: Vec<OpenServerRequest>,
}

/// A task whose client received a server request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskContinuation {
    /// The server's id of the task; at a legacy server, the id that a client would know.
    pub(crate) id: Box<str>,
    /// Whether the task is at a legacy server.
    pub(crate) is_legacy: bool,
    /// The deadline of the call, in seconds.
    pub(crate) deadline: i64,
    /// The keys that were answered but still listed when the task was last read.
    pub(crate) answered: Vec<Box<str>>,
}

/// A request of a legacy server without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenServerRequest {
    /// The key in `inputRequests`.
    pub(crate) key: Box<str>,
    /// The server's id, raw.
    pub(crate) id: Box<[u8]>,
    /// The request as it stands in `inputRequests`, so that it can be sent again if the client leaves it out.
    pub(crate) request: Box<[u8]>,
}

impl ServerRequestId {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = Writer::default().fixed(&self.session);
        match &self.to {
            ResponseRoute::Server {
                install,
                session_ref,
                id,
            } => {
                let writer = writer.byte(0).fixed(install.as_uuid().as_bytes());
                write_session_ref(writer, session_ref).bytes(id).done()
            }
            ResponseRoute::Call { location, key } => location.write(writer.byte(1)).number(*key).done(),
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let session = reader.fixed()?;
        let to = match reader.byte()? {
            0 => ResponseRoute::Server {
                install: read_install(&mut reader)?,
                session_ref: read_session_ref(&mut reader)?,
                id: reader.bytes()?.into(),
            },
            1 => ResponseRoute::Call {
                location: ReplicaLocation::read(&mut reader)?,
                key: reader.number()?,
            },
            _ => return None,
        };
        reader.end()?;
        Some(Self { session, to })
    }
}

impl RequestState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = Writer::default()
            .fixed(&self.bound_to)
            .fixed(self.install.as_uuid().as_bytes())
            .fixed(&self.digest)
            .fixed(&self.expires.to_be_bytes())
            .number(self.round);
        match &self.continuation {
            Continuation::Wrapped(inner) => writer.byte(0).bytes(inner.as_bytes()).done(),
            Continuation::Again => writer.byte(1).done(),
            Continuation::Suspended(location) => location.write(writer.byte(2)).done(),
            Continuation::StreamCheckpointState(checkpoint) => {
                let writer = write_session_ref(writer.byte(3), &checkpoint.session_ref)
                    .bytes(&checkpoint.call)
                    .bytes(checkpoint.event.as_bytes())
                    .number(checkpoint.key_count)
                    .number(checkpoint.server_requests.len() as u64);
                checkpoint
                    .server_requests
                    .iter()
                    .fold(writer, |writer, open| {
                        writer.bytes(open.key.as_bytes()).bytes(&open.id).bytes(&open.request)
                    })
                    .done()
            }
            Continuation::Task(checkpoint) => {
                let writer = writer
                    .byte(4)
                    .byte(u8::from(checkpoint.is_legacy))
                    .bytes(checkpoint.id.as_bytes())
                    .fixed(&checkpoint.deadline.to_be_bytes())
                    .number(checkpoint.answered.len() as u64);
                let keys = checkpoint.answered.iter();
                keys.fold(writer, |writer, key| writer.bytes(key.as_bytes())).done()
            }
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let (bound_to, install) = (reader.fixed()?, read_install(&mut reader)?);
        let (digest, expires) = (reader.fixed()?, i64::from_be_bytes(reader.fixed()?));
        let round = reader.number()?;
        let continuation = match reader.byte()? {
            0 => Continuation::Wrapped(reader.text()?.into()),
            1 => Continuation::Again,
            2 => Continuation::Suspended(ReplicaLocation::read(&mut reader)?),
            3 => Continuation::StreamCheckpointState(read_detached(&mut reader)?),
            4 => Continuation::Task(read_task(&mut reader)?),
            _ => return None,
        };
        reader.end()?;
        Some(Self {
            bound_to,
            install,
            digest,
            expires,
            round,
            continuation,
        })
    }
}

fn read_detached(reader: &mut Reader<'_>) -> Option<StreamCheckpointState> {
    let (session_ref, call) = (read_session_ref(reader)?, reader.bytes()?.into());
    let event = reader.text()?.into();
    let key_count = reader.number()?;
    let mut server_requests = Vec::new();
    for _ in 0..reader.number()? {
        server_requests.push(OpenServerRequest {
            key: reader.text()?.into(),
            id: reader.bytes()?.into(),
            request: reader.bytes()?.into(),
        });
    }
    Some(StreamCheckpointState {
        session_ref,
        call,
        event,
        key_count,
        server_requests,
    })
}

fn read_task(reader: &mut Reader<'_>) -> Option<TaskContinuation> {
    let is_legacy = reader.byte()? == 1;
    let id = reader.text()?.into();
    let deadline = i64::from_be_bytes(reader.fixed()?);
    let mut answered = Vec::new();
    for _ in 0..reader.number()? {
        answered.push(reader.text()?.into());
    }
    Some(TaskContinuation {
        id,
        is_legacy,
        deadline,
        answered,
    })
}

fn read_install(reader: &mut Reader<'_>) -> Option<InstallName> {
    let bytes: [u8; 16] = reader.fixed()?;
    Some(InstallName::from(uuid::Uuid::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install() -> InstallName {
        InstallName::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("a name")
    }

    fn session_ref() -> UpstreamSessionRef {
        UpstreamSessionRef::new(Some("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"), "2025-11-25")
    }

    fn location() -> ReplicaLocation {
        ReplicaLocation {
            replica: [3; 8],
            url: Some("http://10.0.0.7:8080/mcp".into()),
            handle: [4; 16],
        }
    }

    fn ids() -> Vec<ServerRequestId> {
        let server = ResponseRoute::Server {
            install: install(),
            session_ref: session_ref(),
            id: b"17".as_slice().into(),
        };
        let call = ResponseRoute::Call {
            location: location(),
            key: 3,
        };
        let with = |to| ServerRequestId { session: [1; 16], to };
        vec![with(server), with(call)]
    }

    fn states() -> Vec<RequestState> {
        let checkpoint = StreamCheckpointState {
            session_ref: UpstreamSessionRef::new(None, "2025-06-18"),
            call: b"5".as_slice().into(),
            event: "stream-1_7".into(),
            key_count: 3,
            server_requests: vec![OpenServerRequest {
                key: "q1".into(),
                id: b"\"a\"".as_slice().into(),
                request: b"{}".as_slice().into(),
            }],
        };
        [
            Continuation::Wrapped("server state".into()),
            Continuation::Again,
            Continuation::Suspended(location()),
            Continuation::StreamCheckpointState(checkpoint),
            Continuation::Task(TaskContinuation {
                id: "server-task".into(),
                is_legacy: true,
                deadline: 1_800_000_000,
                answered: vec!["q1".into(), "q2".into()],
            }),
        ]
        .map(|continuation| RequestState {
            bound_to: [1; 16],
            install: install(),
            digest: [2; 16],
            expires: 1_800_000_000,
            round: 2,
            continuation,
        })
        .into()
    }

    #[test]
    fn tokens_round_trip() {
        for id in ids() {
            assert_eq!(ServerRequestId::decode(&id.encode()), Some(id));
        }
        for state in states() {
            assert_eq!(RequestState::decode(&state.encode()), Some(state));
        }
    }

    #[test]
    fn malformed_payloads_are_rejected() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let whole: Vec<Vec<u8>> = ids().iter().map(ServerRequestId::encode).collect();
        let states: Vec<Vec<u8>> = states().iter().map(RequestState::encode).collect();
        for payload in &whole {
            for length in 0..payload.len() {
                assert_eq!(ServerRequestId::decode(&payload[..length]), None);
            }
        }
        for payload in &states {
            for length in 0..payload.len() {
                assert_eq!(RequestState::decode(&payload[..length]), None);
            }
        }
        for payload in whole.iter().chain(&states) {
            for _ in 0..20_000 {
                let mut mutated = payload.clone();
                for _ in 0..1 + next() % 4 {
                    let at = (next() % mutated.len() as u64) as usize;
                    mutated[at] = next() as u8;
                }
                let _ = (ServerRequestId::decode(&mutated), RequestState::decode(&mutated));
            }
        }
    }
}
