//! `tasks/list` of 2025-11-25: the tasks of the session, at all servers.
//!
//! The list of a server that many callers share may contain the tasks of others. So the gateway reads each task of the
//! session by its id.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use portolan_core::Error;
use portolan_wire::{
    era::Era,
    error::ErrorObject,
    meta::META,
    method::Method,
    object::{self, RawObject},
};

use super::{
    Tasks,
    query::{TaskQueryError, TaskRef},
};
use crate::{
    lists,
    routing::{RequestContext, passthrough_headers},
    sessions::Session,
    task_ids,
};

/// Tasks per page: each costs one request.
const PAGE: usize = 32;

impl Tasks {
    /// Returns the `result` of `tasks/list`.
    pub(crate) async fn list(
        &self,
        context: &RequestContext,
        session: &Session,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let after = match params.get("cursor") {
            None => None,
            Some(raw) => Some(self.cursors.open(&context.gateway.spec.name, &Method::TasksList, raw)?),
        };
        // Another replica may have recorded some.
        if let Err(error) = self.sessions.reread(session).await {
            tracing::warn!(%error, "the session store is unavailable; the task list may be incomplete");
        }
        let mut ids = session.tasks.all();
        if let Some(after) = after {
            let at = ids.iter().position(|id| **id == *after);
            ids.drain(..at.map_or(0, |at| at + 1));
        }
        let more = ids.len() > PAGE;
        ids.truncate(PAGE);
        let tasks_read = join_all(ids.iter().map(|id| self.read_task(context, id))).await;
        let (mut list, mut failures) = (BytesMut::from(&b"["[..]), Vec::new());
        for task in tasks_read {
            match task {
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
            let next = self
                .cursors
                .seal(&context.gateway.spec.name, &Method::TasksList, last)?;
            result.set("nextCursor", object::quote(&next));
        }
        let meta = lists::list_meta(&self.config, Era::Legacy, &failures);
        if !meta.is_empty() {
            result.set(META, meta.to_bytes());
        }
        Ok(result.to_bytes())
    }

    /// Reads one task from its server; `None` if the server no longer knows it. An error names the server.
    async fn read_task(&self, context: &RequestContext, id: &str) -> Result<Option<Bytes>, (String, Error)> {
        let Some(located) = task_ids::find(context, &self.keys, id) else {
            return Ok(None);
        };
        let failed = |error| (located.place.0.server.name.to_string(), error);
        let credential = self.resolver.credential(context, located.place, None).await;
        let task_ref = TaskRef {
            server: located.place.0.upstream(located.place.1),
            credential: credential.map_err(failed)?,
            passthrough: passthrough_headers(&context.gateway.passthrough, &context.headers),
            ids: Some(Arc::new(located.with_client_id(object::quote(id)))),
            legacy: None,
            id: located.id.clone(),
        };
        match task_ref.ask(Method::TasksGet, None).await {
            Ok(task) => Ok(Some(task)),
            Err(TaskQueryError::Permanent(_)) => Ok(None),
            Err(TaskQueryError::Transient(error)) => Err(failed(error)),
        }
    }
}
