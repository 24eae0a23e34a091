//! What clients are given to bring back: the ids of questions, and the state of calls that wait for answers.

use portolan_client::UpstreamSessionRef;
use portolan_core::InstallName;

use crate::{
    codec::{Reader, Writer},
    replicas::ReplicaLocation,
    task_ids::{read_session_ref, write_session_ref},
};

/// The id of a question to a legacy client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerRequestId {
    /// The client's session.
    pub(crate) session: [u8; 16],
    /// Who waits for the answer.
    pub(crate) to: ResponseRoute,
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResponseRoute {
    /// A legacy server, to which any replica can bring it.
    Server {
        /// Whose server.
        install: InstallName,
        /// In which session.
        session_ref: UpstreamSessionRef,
        /// The server's id of the question, raw.
        id: Box<[u8]>,
    },
    /// A call that is under way in one replica.
    Call {
        /// Which call.
        location: ReplicaLocation,
        /// Which of its questions.
        key: u64,
    },
}

/// A `requestState`: what a modern client brings back with its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// The caller and the gateway.
    pub(crate) bound_to: [u8; 16],
    /// Where the call goes.
    pub(crate) install: InstallName,
    /// What was asked.
    pub(crate) digest: [u8; 16],
    /// Until when it is good, in seconds.
    pub(crate) expires: i64,
    /// How often the client was asked in this call.
    pub(crate) round: u64,
    /// What is to be done with the answers.
    pub(crate) rest: Continuation,
}

/// What is done with answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// They go to a modern server, with the state that it gave.
    Wrapped(Box<str>),
    /// The call is made again.
    Again,
    /// They go to a call that was kept in one replica.
    Suspended(ReplicaLocation),
    /// They go to a legacy server, whose stream is then taken up where it was left.
    StreamCheckpointState(StreamCheckpointState),
    /// They go to the task that the call has become.
    Task(TaskContinuation),
}

/// A call at a legacy server whose stream was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamCheckpointState {
    /// In which session.
    pub(crate) session_ref: UpstreamSessionRef,
    /// The id that the call was sent with, raw.
    pub(crate) call: Box<[u8]>,
    /// The last event of its stream that was read.
    pub(crate) event: Box<str>,
    /// How many questions there were in this call.
    pub(crate) named: u64,
    /// The questions that are open.
    pub(crate) server_requests: Vec<OpenServerRequest>,
}

/// A task whose client was asked something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskContinuation {
    /// The server's id of it; at a legacy server, as a client would know it.
    pub(crate) id: Box<str>,
    /// Whether it is at a legacy server.
    pub(crate) is_legacy: bool,
    /// Until when the call may take, in seconds.
    pub(crate) ends: i64,
    /// What was answered, and was still asked for when it was looked at last.
    pub(crate) answered: Vec<Box<str>>,
}

/// A question that a legacy server waits for the answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenServerRequest {
    /// What it is called in `inputRequests`.
    pub(crate) key: Box<str>,
    /// The server's id, raw.
    pub(crate) id: Box<[u8]>,
    /// What is asked, as it stands in `inputRequests`, so that it can be asked again if the client leaves it out.
    pub(crate) request: Box<[u8]>,
}

impl ServerRequestId {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let begun = Writer::default().fixed(&self.session);
        match &self.to {
            ResponseRoute::Server {
                install,
                session_ref,
                id,
            } => {
                let begun = begun.byte(0).fixed(install.as_uuid().as_bytes());
                write_session_ref(begun, session_ref).bytes(id).done()
            }
            ResponseRoute::Call { location, key } => location.write(begun.byte(1)).number(*key).done(),
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
        let begun = Writer::default()
            .fixed(&self.bound_to)
            .fixed(self.install.as_uuid().as_bytes())
            .fixed(&self.digest)
            .fixed(&self.expires.to_be_bytes())
            .number(self.round);
        match &self.rest {
            Continuation::Wrapped(inner) => begun.byte(0).bytes(inner.as_bytes()).done(),
            Continuation::Again => begun.byte(1).done(),
            Continuation::Suspended(location) => location.write(begun.byte(2)).done(),
            Continuation::StreamCheckpointState(left) => {
                let begun = write_session_ref(begun.byte(3), &left.session_ref)
                    .bytes(&left.call)
                    .bytes(left.event.as_bytes())
                    .number(left.named)
                    .number(left.server_requests.len() as u64);
                left.server_requests
                    .iter()
                    .fold(begun, |begun, open| {
                        begun.bytes(open.key.as_bytes()).bytes(&open.id).bytes(&open.request)
                    })
                    .done()
            }
            Continuation::Task(left) => {
                let begun = begun
                    .byte(4)
                    .byte(u8::from(left.is_legacy))
                    .bytes(left.id.as_bytes())
                    .fixed(&left.ends.to_be_bytes())
                    .number(left.answered.len() as u64);
                let keys = left.answered.iter();
                keys.fold(begun, |begun, key| begun.bytes(key.as_bytes())).done()
            }
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let (bound_to, install) = (reader.fixed()?, read_install(&mut reader)?);
        let (digest, expires) = (reader.fixed()?, i64::from_be_bytes(reader.fixed()?));
        let round = reader.number()?;
        let rest = match reader.byte()? {
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
            rest,
        })
    }
}

fn read_detached(reader: &mut Reader<'_>) -> Option<StreamCheckpointState> {
    let (session_ref, call) = (read_session_ref(reader)?, reader.bytes()?.into());
    let event = reader.text()?.into();
    let named = reader.number()?;
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
        named,
        server_requests,
    })
}

fn read_task(reader: &mut Reader<'_>) -> Option<TaskContinuation> {
    let is_legacy = reader.byte()? == 1;
    let id = reader.text()?.into();
    let ends = i64::from_be_bytes(reader.fixed()?);
    let mut answered = Vec::new();
    for _ in 0..reader.number()? {
        answered.push(reader.text()?.into());
    }
    Some(TaskContinuation {
        id,
        is_legacy,
        ends,
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
        let left = StreamCheckpointState {
            session_ref: UpstreamSessionRef::new(None, "2025-06-18"),
            call: b"5".as_slice().into(),
            event: "stream-1_7".into(),
            named: 3,
            server_requests: vec![OpenServerRequest {
                key: "q1".into(),
                id: b"\"a\"".as_slice().into(),
                request: b"{}".as_slice().into(),
            }],
        };
        [
            Continuation::Wrapped("their state".into()),
            Continuation::Again,
            Continuation::Suspended(location()),
            Continuation::StreamCheckpointState(left),
            Continuation::Task(TaskContinuation {
                id: "their-task".into(),
                is_legacy: true,
                ends: 1_800_000_000,
                answered: vec!["q1".into(), "q2".into()],
            }),
        ]
        .map(|rest| RequestState {
            bound_to: [1; 16],
            install: install(),
            digest: [2; 16],
            expires: 1_800_000_000,
            round: 2,
            rest,
        })
        .into()
    }

    #[test]
    fn what_is_written_is_read() {
        for id in ids() {
            assert_eq!(ServerRequestId::decode(&id.encode()), Some(id));
        }
        for state in states() {
            assert_eq!(RequestState::decode(&state.encode()), Some(state));
        }
    }

    #[test]
    fn odd_payloads_are_nothing() {
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
                let mut odd = payload.clone();
                for _ in 0..1 + next() % 4 {
                    let at = (next() % odd.len() as u64) as usize;
                    odd[at] = next() as u8;
                }
                let _ = (ServerRequestId::decode(&odd), RequestState::decode(&odd));
            }
        }
    }
}
