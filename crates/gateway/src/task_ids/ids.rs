//! Seals, opens and rewrites the ids of tasks.
//!

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_client::{TaskIdTransform, TaskRole, UpstreamSessionRef, tasks};
use portolan_core::{Caller, GatewayName, InstallName};
use portolan_wire::{
    era::Era,
    object::{self, RawObject},
};

use super::{created, read_session_ref, write_session_ref};
use crate::{
    codec::{Reader, Writer},
    routing::{Place, RequestContext},
    seal::{Purpose, TokenKeys},
    sessions::{TaskRecorder, bind},
};

/// The maximum length of a server's task id. Sealed, it travels in a header.
const ID_BYTES: usize = 1024;

/// Seals the ids of the tasks that one call may become.
#[derive(Clone, Debug)]
pub(crate) struct TaskSeal {
    keys: Arc<TokenKeys>,
    install: InstallName,
    /// The binding to caller and gateway.
    bound: [u8; 16],
    at: TaskLocation,
    /// Records the created task, if its session lists tasks.
    recorder: Option<TaskRecorder>,
    /// The `task` member that makes a legacy server create a task; and whether the gateway polls that task.
    task_param: Option<(Bytes, bool)>,
}

/// The location of a task at its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskLocation {
    /// At a modern server, which needs no session.
    Modern,
    /// At a legacy server, which may know it only in this session. There is none behind a channel.
    Legacy(Option<UpstreamSessionRef>),
}

/// A task that a request names.
#[derive(Clone, Debug)]
pub(crate) struct KnownTask {
    /// The client's id, raw.
    id: Bytes,
    at: TaskLocation,
}

/// A task and its server.
#[derive(Debug)]
pub(crate) struct FoundTask<'a> {
    pub(crate) place: Place<'a>,
    /// The server's id of the task.
    pub(crate) id: String,
    at: TaskLocation,
}

/// How task ids in a response are rewritten.
#[derive(Clone, Debug)]
pub(crate) enum TaskIds {
    /// A call that may become a task.
    Sealed(TaskSeal),
    /// The task that the request names.
    Known(KnownTask),
    /// A call that may become a task, of a client without tasks: the gateway polls it.
    Polled,
}

impl TaskSeal {
    pub(crate) fn new(keys: &Arc<TokenKeys>, gateway: &GatewayName, caller: &Caller, install: InstallName) -> Self {
        Self {
            keys: keys.clone(),
            install,
            bound: bind(gateway, caller),
            at: TaskLocation::Modern,
            recorder: None,
            task_param: None,
        }
    }

    /// Asks a legacy server to create a task, which the client polls.
    pub(crate) fn with_client_task(mut self) -> Self {
        self.task_param = Some((Bytes::from_static(b"{}"), false));
        self
    }

    /// Asks a legacy server to create a task with this time to live, which the gateway polls.
    pub(crate) fn with_polled_task(mut self, at_most: Duration) -> Self {
        self.task_param = Some((format!(r#"{{"ttl":{}}}"#, at_most.as_millis()).into(), true));
        self
    }

    /// Records the created task with `recorder`.
    pub(crate) fn with_recorder(mut self, recorder: TaskRecorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    fn seal(&self, id: &str) -> Option<String> {
        if id.len() > ID_BYTES {
            return None;
        }
        let writer = Writer::default()
            .fixed(self.install.as_uuid().as_bytes())
            .fixed(&self.bound);
        let writer = match &self.at {
            TaskLocation::Modern => writer.byte(0),
            TaskLocation::Legacy(None) => writer.byte(1),
            TaskLocation::Legacy(Some(session_ref)) => write_session_ref(writer.byte(2), session_ref),
        };
        let sealed = self
            .keys
            .seal(Purpose::Task, &writer.bytes(id.as_bytes()).done())
            .ok()?;
        (sealed.len() <= Purpose::Task.max_len()).then_some(sealed)
    }
}

impl TaskIds {
    /// Returns the transform for a call that the gateway sends as a task for a client without tasks.
    pub(crate) fn polled() -> Arc<dyn TaskIdTransform> {
        Arc::new(Self::Polled)
    }

    /// Returns the client's id of the named task, as JSON.
    pub(crate) fn known_id(&self) -> Option<&Bytes> {
        match self {
            Self::Known(known) => Some(&known.id),
            _ => None,
        }
    }

    /// Returns whether the named task is at a legacy server.
    pub(crate) fn is_at_legacy(&self) -> bool {
        matches!(
            self,
            Self::Known(KnownTask {
                at: TaskLocation::Legacy(_),
                ..
            })
        )
    }
}

impl TaskIdTransform for TaskIds {
    fn role(&self) -> TaskRole {
        match self {
            Self::Sealed(_) => TaskRole::MayBecomeTask,
            Self::Known(_) => TaskRole::Existing,
            Self::Polled => TaskRole::Polled,
        }
    }

    fn at_legacy(&self, session: Option<UpstreamSessionRef>) -> Option<Arc<dyn TaskIdTransform>> {
        match self {
            Self::Sealed(seal) if seal.task_param.is_some() || seal.recorder.is_some() => {
                Some(Arc::new(Self::Sealed(TaskSeal {
                    at: TaskLocation::Legacy(session),
                    ..seal.clone()
                })))
            }
            _ => None,
        }
    }

    fn augmentation(&self) -> Option<Bytes> {
        match self {
            Self::Sealed(seal) => seal.task_param.as_ref().map(|(task, _)| task.clone()),
            _ => None,
        }
    }

    fn polls_legacy_task(&self) -> bool {
        matches!(
            self,
            Self::Sealed(TaskSeal {
                task_param: Some((_, true)),
                ..
            })
        )
    }

    fn session(&self) -> Option<&UpstreamSessionRef> {
        match self {
            Self::Known(KnownTask {
                at: TaskLocation::Legacy(session),
                ..
            }) => session.as_ref(),
            _ => None,
        }
    }

    fn client_id(&self, own: &str) -> Option<Bytes> {
        match self {
            Self::Sealed(seal) => seal.seal(own).map(|id| object::quote(&id)),
            Self::Known(known) => Some(known.id.clone()),
            Self::Polled => None,
        }
    }

    fn created(&self, result: &RawObject) -> Option<RawObject> {
        let mut created = created::modern_result(result)?;
        let id = self.client_id(&object::text(created.get("taskId")?)?)?;
        created.set("taskId", id);
        Some(created)
    }

    fn rewrite_result(&self, upstream: Era, result: &mut RawObject) -> Option<()> {
        match (self, upstream) {
            (Self::Polled, _) => {}
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
                // A server may answer at once a call that was sent as a task.
                if let Some(mut task) = result.get("task").and_then(|raw| RawObject::parse_checked(raw).ok()) {
                    let own = object::text(task.get("taskId")?)?.into_owned();
                    let id = seal.seal(&own)?;
                    task.set("taskId", object::quote(&id));
                    result.set("task", task.to_bytes());
                    if let Some(recorder) = &seal.recorder {
                        recorder.record(&own, &id);
                    }
                }
            }
        }
        if upstream == Era::Legacy
            && let Some(renamed) = tasks::rename_related(&result.to_bytes(), |own| self.client_id(own))
        {
            *result = RawObject::parse_checked(&renamed).ok()?;
        }
        Some(())
    }

    fn rewrite_notification(&self, message: Bytes) -> Bytes {
        let rewritten = || {
            let mut members = RawObject::parse_checked(&message).ok()?;
            let params = members.get("params")?;
            let params = match &*object::text(members.get("method")?)? {
                "notifications/tasks/status" => {
                    let mut task = RawObject::parse_checked(params).ok()?;
                    let id = self.client_id(&object::text(task.get("taskId")?)?)?;
                    task.set("taskId", id);
                    task.to_bytes()
                }
                _ => tasks::rename_related(params, |own| self.client_id(own))?,
            };
            members.set("params", params);
            Some(members.to_bytes())
        };
        match rewritten() {
            Some(rewritten) => rewritten,
            None => message,
        }
    }
}

impl FoundTask<'_> {
    /// Returns the upstream session of the task, at a legacy server.
    pub(crate) fn session_ref(&self) -> Option<&UpstreamSessionRef> {
        match &self.at {
            TaskLocation::Legacy(session_ref) => session_ref.as_ref(),
            TaskLocation::Modern => None,
        }
    }

    /// Returns whether the task is at a server of this era.
    pub(crate) fn is_at(&self, era: Era) -> bool {
        (era == Era::Modern) == (self.at == TaskLocation::Modern)
    }

    /// Returns the transform for a response to a client that knows the task as `id`, raw.
    pub(crate) fn with_client_id(&self, id: Bytes) -> TaskIds {
        TaskIds::Known(KnownTask {
            id,
            at: self.at.clone(),
        })
    }
}

/// Opens a client's task id; `None` if it is invalid, of another caller, or its server is not reachable.
pub(crate) fn find<'a>(context: &'a RequestContext, keys: &TokenKeys, id: &str) -> Option<FoundTask<'a>> {
    let payload = keys.open(Purpose::Task, id)?;
    let mut reader = Reader::new(&payload);
    let (install, bound): ([u8; 16], [u8; 16]) = (reader.fixed()?, reader.fixed()?);
    let at = match reader.byte()? {
        0 => TaskLocation::Modern,
        1 => TaskLocation::Legacy(None),
        2 => TaskLocation::Legacy(Some(read_session_ref(&mut reader)?)),
        _ => return None,
    };
    let own = reader.text()?.to_owned();
    reader.end()?;
    if bound != bind(&context.gateway.spec.name, &context.caller) {
        return None;
    }
    let place = context
        .gateway
        .place(&uuid::Uuid::from_bytes(install).into(), &context.caller)?;
    Some(FoundTask { place, id: own, at })
}

#[cfg(test)]
mod tests {
    use portolan_core::{Subject, SystemClock, UserId};

    use super::*;

    #[test]
    fn ids_are_sealed_for_caller() {
        let keys = Arc::new(TokenKeys::random().expect("keys"));
        let gateway = GatewayName::parse("g").expect("a name");
        let caller = Caller::new(Subject::User(UserId::parse("alice").expect("a user")), "test");
        let seal = TaskSeal::new(&keys, &gateway, &caller, InstallName::new(&SystemClock));
        let mut result = RawObject::parse(&Bytes::from_static(br#"{"taskId":"t1","x":1.50}"#)).expect("an object");
        assert!(
            TaskIds::Sealed(seal.clone())
                .rewrite_result(Era::Modern, &mut result)
                .is_some()
        );
        let id = result.get("taskId").and_then(object::text).expect("an id").into_owned();
        let payload = keys.open(Purpose::Task, &id).expect("opened");
        assert!(payload.ends_with(b"t1") && !id.contains("t1"));
        assert_eq!(seal.seal(&"x".repeat(ID_BYTES + 1)), None);
        let known = KnownTask {
            id: object::quote("mine"),
            at: TaskLocation::Modern,
        };
        assert!(TaskIds::Known(known).rewrite_result(Era::Modern, &mut result).is_some());
        assert_eq!(result.to_bytes(), r#"{"taskId":"mine","x":1.50}"#);
    }
}
