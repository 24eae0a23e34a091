//! The ids of tasks, sealed for clients.
//!
//! Anyone who knows a server's id of a task could use it. Clients therefore get it sealed, together with its install,
//! the caller, and the session at a legacy server: to another caller, or through another gateway, the task is unknown.
//! Any replica can open it; nothing is stored.

pub(crate) mod created;
mod ids;

use portolan_client::UpstreamSessionRef;

pub(crate) use self::ids::{FoundTask, TaskIds, TaskSeal, find};
use crate::codec::{Reader, Writer};

/// Writes a session at a legacy server into the payload of a token.
pub(crate) fn write_session_ref(writer: Writer, session: &UpstreamSessionRef) -> Writer {
    let writer = match &session.session {
        Some(session) => writer.byte(1).bytes(session.as_bytes()),
        None => writer.byte(0),
    };
    writer.bytes(session.version.as_bytes())
}

/// Reads what [`write_session_ref`] wrote.
pub(crate) fn read_session_ref(reader: &mut Reader<'_>) -> Option<UpstreamSessionRef> {
    let session = match reader.byte()? {
        0 => None,
        1 => Some(reader.text()?),
        _ => return None,
    };
    Some(UpstreamSessionRef::new(session, reader.text()?))
}
