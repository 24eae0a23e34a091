//! The ids of tasks, as clients know them.
//!
//! A server knows a task by an id that anybody may bring who has heard of it. Clients get it sealed, with the install that
//! it belongs to and with who made the call: whoever else brings it, or through another gateway, is told that there is no
//! such task. Any replica opens it; nothing is kept.

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::{Caller, GatewayName, InstallName};
use portolan_wire::object::{self, RawObject};

use crate::{
    seal::{Purpose, TokenKeys},
    session::bind,
    table::{Mount, Mounted},
    visit::Visit,
};

/// The longest id of a server's task that is relayed. Sealed, it travels in a header.
const ID_BYTES: usize = 1024;
const INSTALL_LEN: usize = 16;
const BOUND_LEN: usize = 16;

/// Seals the ids of the tasks that one call may become.
#[derive(Clone, Debug)]
pub(crate) struct TaskSeal {
    keys: Arc<TokenKeys>,
    /// The install, and who calls through which gateway.
    bound: [u8; INSTALL_LEN + BOUND_LEN],
}

/// What becomes of the id of a task in an answer.
#[derive(Clone, Debug)]
pub(crate) enum TaskIds {
    /// A call that may become a task.
    Sealed(TaskSeal),
    /// The task that was asked for, as the client knows it, raw.
    Known(Bytes),
    /// A call that may become a task, of a client that knows none: the gateway drives it.
    Driven,
}

impl TaskSeal {
    pub(crate) fn new(keys: &Arc<TokenKeys>, gateway: &GatewayName, caller: &Caller, install: InstallName) -> Self {
        let mut bound = [0; INSTALL_LEN + BOUND_LEN];
        bound[..INSTALL_LEN].copy_from_slice(install.as_uuid().as_bytes());
        bound[INSTALL_LEN..].copy_from_slice(&bind(gateway, caller));
        Self {
            keys: keys.clone(),
            bound,
        }
    }

    fn seal(&self, id: &str) -> Option<String> {
        if id.len() > ID_BYTES {
            return None;
        }
        let payload = [&self.bound, id.as_bytes()].concat();
        self.keys.seal(Purpose::Task, &payload).ok()
    }
}

impl TaskIds {
    /// Puts the client's id of a task in the place of the server's. `None` if the server's cannot be relayed.
    pub(crate) fn write(&self, result: &mut RawObject) -> Option<()> {
        let id = result.get("taskId").and_then(object::text);
        let id = match (self, id) {
            (Self::Known(_), None) | (Self::Driven, _) => return Some(()),
            (Self::Known(id), Some(_)) => id.clone(),
            (Self::Sealed(seal), id) => object::quote(&seal.seal(&id?)?),
        };
        result.set("taskId", id);
        Some(())
    }
}

/// The server that a task is at, and the server's id of it.
pub(crate) fn find<'a>(visit: &'a Visit, keys: &TokenKeys, id: &str) -> Option<(&'a Mount, &'a Mounted, String)> {
    let payload = keys.open(Purpose::Task, id)?;
    let (install, rest) = payload.split_at_checked(INSTALL_LEN)?;
    let (bound, id) = rest.split_at_checked(BOUND_LEN)?;
    if bound != bind(&visit.gateway.spec.name, &visit.caller) {
        return None;
    }
    let mut mounts = visit.gateway.mounts().iter();
    let (mount, mounted) = mounts.find_map(|mount| {
        let reached = mount.reached(&visit.caller);
        let mounted = reached
            .into_iter()
            .find(|mounted| mounted.install.name.as_uuid().as_bytes() == install)?;
        Some((mount, mounted))
    })?;
    Some((mount, mounted, String::from_utf8(id.to_vec()).ok()?))
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
        assert!(TaskIds::Sealed(seal.clone()).write(&mut result).is_some());
        let id = result.get("taskId").and_then(object::text).expect("an id").into_owned();
        let payload = keys.open(Purpose::Task, &id).expect("opened");
        assert!(payload.ends_with(b"t1") && !id.contains("t1"));
        assert_eq!(seal.seal(&"x".repeat(ID_BYTES + 1)), None);
        assert!(TaskIds::Known(object::quote("mine")).write(&mut result).is_some());
        assert_eq!(result.to_bytes(), r#"{"taskId":"mine","x":1.50}"#);
    }
}
