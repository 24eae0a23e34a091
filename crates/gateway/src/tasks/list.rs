//! `tasks/list` of 2025-11-25: the tasks of the session, wherever they are.
//!
//! A server that many callers share cannot be asked for its list: it may name the tasks of others. So each task of the
//! session is asked for.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use portolan_core::Error;
use portolan_wire::{
    error::ErrorObject,
    method::Method,
    object::{self, RawObject},
};

use super::{
    find,
    query::{TaskQueryError, TaskRef},
};
use crate::{request_context::RequestContext, service::Inner, session::Session};

/// Tasks on a page: each is asked for.
const PAGE: usize = 32;

impl Inner {
    /// The `result` of `tasks/list`.
    pub(crate) async fn list_tasks(
        &self,
        context: &RequestContext,
        session: &Session,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let after = match params.get("cursor") {
            None => None,
            Some(raw) => Some(self.open_cursor(context, &Method::TasksList, raw)?),
        };
        // Another replica may have begun some.
        if let Err(error) = self.sessions.reread(session).await {
            tracing::warn!(%error, "the tasks of a session cannot be looked up; what is known is listed");
        }
        let mut ids = session.session_tasks.all();
        if let Some(after) = after {
            let at = ids.iter().position(|id| **id == *after);
            ids.drain(..at.map_or(0, |at| at + 1));
        }
        let more = ids.len() > PAGE;
        ids.truncate(PAGE);
        let told = join_all(ids.iter().map(|id| self.told_task(context, id))).await;
        let (mut list, mut failures) = (BytesMut::from(&b"["[..]), Vec::new());
        for told in told {
            match told {
                Ok(None) => {}
                Ok(Some(task)) => {
                    if list.len() > 1 {
                        list.put_u8(b',');
                    }
                    list.put_slice(&task);
                }
                Err(failure) => failures.push(failure),
            }
        }
        list.put_u8(b']');
        let mut result = RawObject::new();
        result.set("tasks", list.freeze());
        if let Some(last) = ids.last().filter(|_| more) {
            let next = self.seal_cursor(context, &Method::TasksList, last)?;
            result.set("nextCursor", object::quote(&next));
        }
        let meta = self.list_meta(portolan_wire::era::Era::Legacy, &failures);
        if !meta.is_empty() {
            result.set(portolan_wire::meta::META, meta.to_bytes());
        }
        Ok(result.to_bytes())
    }

    /// What its server says of a task; nothing if that knows it no more. A server that cannot be asked is named.
    async fn told_task(&self, context: &RequestContext, id: &str) -> Result<Option<Bytes>, (String, Error)> {
        let Some(found) = find(context, &self.keys, id) else {
            return Ok(None);
        };
        let server = &found.mount.server;
        let failed = |error| (server.name.to_string(), error);
        let wanted = context.credential_for(found.mount, found.mounted);
        let credential = self.broker.credential(&wanted).await;
        let task_ref = TaskRef {
            link: found.mounted.upstream.clone(),
            credential: credential.map_err(failed)?,
            passthrough: crate::passthrough::select(&context.gateway.passthrough, &context.headers),
            known: Some(found.known(object::quote(id))),
            legacy: None,
            id: found.id,
        };
        match task_ref.ask(Method::TasksGet, None).await {
            Ok(task) => Ok(Some(task)),
            Err(TaskQueryError::Ever(_)) => Ok(None),
            Err(TaskQueryError::Now(error)) => Err(failed(error)),
        }
    }
}
