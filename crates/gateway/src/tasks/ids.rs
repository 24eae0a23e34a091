//! The ids of tasks, as clients know them.
//!
//! A server knows a task by an id that anybody may bring who has heard of it. Clients get it sealed, with the install that
//! it belongs to, who made the call, and the session at a legacy server: whoever else brings it, or through another gateway,
//! is told that there is no such task. Any replica opens it; nothing is kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{Caller, GatewayName, InstallName};
use portolan_wire::{
    era::Era,
    object::{self, RawObject},
};

use super::{legacy, related, session_tasks::TaskRecorder};
use crate::{
    request_context::RequestContext,
    routes::{InstallRoute, ServerRoute},
    seal::{Purpose, TokenKeys},
    server_requests::{Reader, UpstreamSessionRef, Writer, read_seat, write_seat},
    session::bind,
};

/// The longest id of a server's task that is relayed. Sealed, it travels in a header.
const ID_BYTES: usize = 1024;

/// Seals the ids of the tasks that one call may become.
#[derive(Clone, Debug)]
pub(crate) struct TaskSeal {
    keys: Arc<TokenKeys>,
    install: InstallName,
    /// Who calls through which gateway.
    bound: [u8; 16],
    at: TaskLocation,
    /// Who takes note of the task, where somebody does.
    recorder: Option<TaskRecorder>,
    /// What a legacy server is told, so that it makes a task of the call; and whether the gateway drives that.
    asked: Option<(Bytes, bool)>,
}

/// Where a server has a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskLocation {
    /// Nowhere in particular: a modern server.
    Modern,
    /// At a legacy server, which may know it in this session alone. There is none behind a channel.
    Legacy(Option<UpstreamSessionRef>),
}

/// A task that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct KnownTask {
    /// Its id as the client knows it, raw.
    id: Bytes,
    at: TaskLocation,
}

/// A task, and where it is.
#[derive(Debug)]
pub(crate) struct FoundTask<'a> {
    pub(crate) mount: &'a ServerRoute,
    pub(crate) mounted: &'a InstallRoute,
    /// The server's id of it.
    pub(crate) id: String,
    at: TaskLocation,
}

/// What becomes of the id of a task in an answer.
#[derive(Clone, Debug)]
pub(crate) enum TaskIds {
    /// A call that may become a task.
    Sealed(TaskSeal),
    /// The task that was asked for.
    Known(KnownTask),
    /// A call that may become a task, of a client that knows none: the gateway drives it.
    ResponseBody,
}

impl TaskSeal {
    pub(crate) fn new(keys: &Arc<TokenKeys>, gateway: &GatewayName, caller: &Caller, install: InstallName) -> Self {
        Self {
            keys: keys.clone(),
            install,
            bound: bind(gateway, caller),
            at: TaskLocation::Modern,
            recorder: None,
            asked: None,
        }
    }

    /// The same, for a call of which a legacy server is asked to make a task: one that the client looks after.
    pub(crate) fn asking(mut self) -> Self {
        self.asked = Some((Bytes::from_static(b"{}"), false));
        self
    }

    /// The same: one that the gateway drives, and that is wanted no longer than this.
    pub(crate) fn driving(mut self, at_most: Duration) -> Self {
        self.asked = Some((format!(r#"{{"ttl":{}}}"#, at_most.as_millis()).into(), true));
        self
    }

    /// The same, with somebody who takes note of the task.
    pub(crate) fn noted(mut self, recorder: TaskRecorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    fn seal(&self, id: &str) -> Option<String> {
        if id.len() > ID_BYTES {
            return None;
        }
        let begun = Writer::default()
            .fixed(self.install.as_uuid().as_bytes())
            .fixed(&self.bound);
        let begun = match &self.at {
            TaskLocation::Modern => begun.byte(0),
            TaskLocation::Legacy(None) => begun.byte(1),
            TaskLocation::Legacy(Some(session_ref)) => write_seat(begun.byte(2), session_ref),
        };
        let sealed = self.keys.seal(Purpose::Task, &begun.bytes(id.as_bytes()).done()).ok()?;
        (sealed.len() <= Purpose::Task.max_len()).then_some(sealed)
    }
}

impl TaskIds {
    /// The same of a call that was sent to a legacy server, in this session; `None` if it cannot become a task there.
    pub(crate) fn at_legacy(&self, session_ref: Option<UpstreamSessionRef>) -> Option<Arc<Self>> {
        match self {
            Self::Sealed(seal) if seal.asked.is_some() || seal.recorder.is_some() => {
                Some(Arc::new(Self::Sealed(TaskSeal {
                    at: TaskLocation::Legacy(session_ref),
                    ..seal.clone()
                })))
            }
            _ => None,
        }
    }

    /// The member `task` by which a legacy server is asked to make a task of a call.
    pub(crate) fn augmentation(&self) -> Option<Bytes> {
        match self {
            Self::Sealed(seal) => seal.asked.as_ref().map(|(task, _)| task.clone()),
            _ => None,
        }
    }

    /// Whether the gateway drives the task of a legacy server.
    pub(crate) fn are_driven(&self) -> bool {
        matches!(
            self,
            Self::Sealed(TaskSeal {
                asked: Some((_, true)),
                ..
            })
        )
    }

    /// A task that a legacy server made of a call, as 2026-07-28 writes it.
    pub(crate) fn created(&self, result: &RawObject) -> Option<RawObject> {
        let mut created = legacy::created(result)?;
        let id = self.id_of(&object::text(created.get("taskId")?)?)?;
        created.set("taskId", id);
        Some(created)
    }

    /// What the client calls the task that was asked for, raw.
    pub(crate) fn client_id(&self) -> Option<Bytes> {
        match self {
            Self::Known(known) => Some(known.id.clone()),
            _ => None,
        }
    }

    /// Whether the task that was asked for is at a legacy server.
    pub(crate) fn is_at_legacy(&self) -> bool {
        matches!(
            self,
            Self::Known(KnownTask {
                at: TaskLocation::Legacy(_),
                ..
            })
        )
    }

    /// In which session the task is that was asked for.
    pub(crate) fn session_ref(&self) -> Option<&UpstreamSessionRef> {
        match self {
            Self::Known(KnownTask {
                at: TaskLocation::Legacy(session_ref),
                ..
            }) => session_ref.as_ref(),
            _ => None,
        }
    }

    /// What the client calls a task that the server calls `own`, raw.
    pub(crate) fn id_of(&self, own: &str) -> Option<Bytes> {
        match self {
            Self::Sealed(seal) => seal.seal(own).map(|id| object::quote(&id)),
            Self::Known(known) => Some(known.id.clone()),
            Self::ResponseBody => None,
        }
    }

    /// Puts the client's id of a task in the place of the server's in the result of a server of era `upstream`. `None` if the
    /// server's cannot be relayed.
    pub(crate) fn write(&self, upstream: Era, result: &mut RawObject) -> Option<()> {
        match (self, upstream) {
            (Self::ResponseBody, _) => {}
            (Self::Known(known), _) => {
                if result.contains("taskId") {
                    result.set("taskId", known.id.clone());
                }
            }
            (Self::Sealed(seal), Era::Modern) => {
                let id = seal.seal(&object::text(result.get("taskId")?)?)?;
                result.set("taskId", object::quote(&id));
            }
            (Self::Sealed(seal), Era::Legacy) => {
                // A server may do at once what it was asked to do as a task.
                if let Some(mut task) = result.get("task").and_then(|raw| RawObject::parse_checked(raw).ok()) {
                    let own = object::text(task.get("taskId")?)?.into_owned();
                    let id = seal.seal(&own)?;
                    task.set("taskId", object::quote(&id));
                    result.set("task", task.to_bytes());
                    if let Some(recorder) = &seal.recorder {
                        recorder.note(&own, &id);
                    }
                }
            }
        }
        if upstream == Era::Legacy
            && let Some(renamed) = related::renamed(&result.to_bytes(), |own| self.id_of(own))
        {
            *result = RawObject::parse_checked(&renamed).ok()?;
        }
        Some(())
    }
}

impl TaskIds {
    /// A notification of a legacy server, with the ids that the client knows.
    pub(crate) fn told(&self, message: Bytes) -> Bytes {
        let told = || {
            let mut members = RawObject::parse_checked(&message).ok()?;
            let params = members.get("params")?;
            let params = match &*object::text(members.get("method")?)? {
                "notifications/tasks/status" => {
                    let mut task = RawObject::parse_checked(params).ok()?;
                    let id = self.id_of(&object::text(task.get("taskId")?)?)?;
                    task.set("taskId", id);
                    task.to_bytes()
                }
                _ => related::renamed(params, |own| self.id_of(own))?,
            };
            members.set("params", params);
            Some(members.to_bytes())
        };
        match told() {
            Some(told) => told,
            None => message,
        }
    }
}

impl FoundTask<'_> {
    /// The session that it is in, at a legacy server.
    pub(crate) fn session_ref(&self) -> Option<&UpstreamSessionRef> {
        match &self.at {
            TaskLocation::Legacy(session_ref) => session_ref.as_ref(),
            TaskLocation::Modern => None,
        }
    }

    /// Whether it is at a server of this era.
    pub(crate) fn is_at(&self, era: Era) -> bool {
        (era == Era::Modern) == (self.at == TaskLocation::Modern)
    }

    /// The same task for an answer to a client that calls it `id`, raw.
    pub(crate) fn known(&self, id: Bytes) -> TaskIds {
        TaskIds::Known(KnownTask {
            id,
            at: self.at.clone(),
        })
    }
}

/// The server that a task is at, and the server's id of it.
pub(crate) fn find<'a>(context: &'a RequestContext, keys: &TokenKeys, id: &str) -> Option<FoundTask<'a>> {
    let payload = keys.open(Purpose::Task, id)?;
    let mut reader = Reader::new(&payload);
    let (install, bound): ([u8; 16], [u8; 16]) = (reader.fixed()?, reader.fixed()?);
    let at = match reader.byte()? {
        0 => TaskLocation::Modern,
        1 => TaskLocation::Legacy(None),
        2 => TaskLocation::Legacy(Some(read_seat(&mut reader)?)),
        _ => return None,
    };
    let own = reader.text()?.to_owned();
    reader.end()?;
    if bound != bind(&context.gateway.spec.name, &context.caller) {
        return None;
    }
    let mut mounts = context.gateway.mounts().iter();
    let (mount, mounted) = mounts.find_map(|mount| {
        let reached = mount.reached(&context.caller);
        let mounted = reached
            .into_iter()
            .find(|mounted| *mounted.install.name.as_uuid().as_bytes() == install)?;
        Some((mount, mounted))
    })?;
    Some(FoundTask {
        mount,
        mounted,
        id: own,
        at,
    })
}

#[cfg(test)]
mod tests {
    use portolan_core::{Subject, SystemClock, UserId};

    use super::*;

    #[test]
    fn a_task_is_known_to_its_caller_by_another_id() {
        let keys = Arc::new(TokenKeys::random().expect("keys"));
        let gateway = GatewayName::parse("g").expect("a name");
        let caller = Caller::new(Subject::User(UserId::parse("alice").expect("a user")), "test");
        let seal = TaskSeal::new(&keys, &gateway, &caller, InstallName::new(&SystemClock));
        let mut result = RawObject::parse(&Bytes::from_static(br#"{"taskId":"t1","x":1.50}"#)).expect("an object");
        assert!(TaskIds::Sealed(seal.clone()).write(Era::Modern, &mut result).is_some());
        let id = result.get("taskId").and_then(object::text).expect("an id").into_owned();
        let payload = keys.open(Purpose::Task, &id).expect("opened");
        assert!(payload.ends_with(b"t1") && !id.contains("t1"));
        assert_eq!(seal.seal(&"x".repeat(ID_BYTES + 1)), None);
        let known = KnownTask {
            id: object::quote("mine"),
            at: TaskLocation::Modern,
        };
        assert!(TaskIds::Known(known).write(Era::Modern, &mut result).is_some());
        assert_eq!(result.to_bytes(), r#"{"taskId":"mine","x":1.50}"#);
    }
}
