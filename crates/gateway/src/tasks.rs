//! Tasks: calls that continue after their response, and that clients query by an id.
//!
//! An extension of 2026-07-28 (SEP-2663), part of the core of 2025-11-25.
//!
//! | client, server | what happens |
//! | --- | --- |
//! | modern, modern | tasks are relayed, their ids sealed |
//! | legacy, legacy | tasks of 2025-11-25 are relayed, their ids sealed; `tasks/list` lists those of the session |
//! | modern, legacy | tasks of 2025-11-25 are converted to the extension |
//! | without tasks, legacy | the gateway polls the task of a tool that requires one |
//! | without tasks, modern | the gateway polls the task of a call whose server requires one |

mod cancel_on_drop;
mod driver;
mod inputs;
mod legacy;
mod list;
mod poll_interval;
mod progress;
mod query;
mod state;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use portolan_client::{
    TaskIdTransform,
    tasks::{self, TaskSupport},
};
use portolan_core::{Clock, SessionStore};
use portolan_wire::{era::Era, error::ErrorObject, object};

use self::inputs::TaskInputs;
pub(crate) use self::watch::{TaskNotifier, WatchedTasks, Watching, watching};
use crate::{
    config::GatewayConfig,
    cursor::Cursors,
    relay_request::ClientRequest,
    routing::{RequestContext, Resolver, Target, TargetError},
    seal::TokenKeys,
    server_requests::ServerRequests,
    sessions::{Session, Sessions, TaskRecorder},
    task_ids::{self, TaskIds, TaskSeal},
};

/// The capability `tasks` of 2025-11-25, as the gateway declares it.
pub(crate) const CAPABILITY: &[u8] = br#"{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#;

/// Relays, converts and polls the tasks of servers.
#[derive(Debug)]
pub(crate) struct Tasks {
    config: Arc<GatewayConfig>,
    keys: Arc<TokenKeys>,
    clock: Arc<dyn Clock>,
    resolver: Arc<Resolver>,
    sessions: Arc<Sessions>,
    cursors: Cursors,
    server_requests: Arc<ServerRequests>,
    inputs: Arc<TaskInputs>,
}

impl Tasks {
    #[allow(clippy::too_many_arguments, reason = "each is a service of its own")]
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        keys: &Arc<TokenKeys>,
        clock: &Arc<dyn Clock>,
        store: Arc<dyn SessionStore>,
        resolver: &Arc<Resolver>,
        sessions: &Arc<Sessions>,
        cursors: Cursors,
        server_requests: &Arc<ServerRequests>,
    ) -> Self {
        Self {
            config: config.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            resolver: resolver.clone(),
            sessions: sessions.clone(),
            cursors,
            server_requests: server_requests.clone(),
            inputs: Arc::new(TaskInputs::new(config, store, clock.clone())),
        }
    }

    /// Returns the server of the task that a request names, and the task.
    pub(crate) fn target<'a>(
        &self,
        context: &'a RequestContext,
        era: Era,
        request: &ClientRequest,
    ) -> Result<(Target<'a>, TaskIds), TargetError> {
        if era == Era::Modern && !tasks::are_declared(request.capabilities.as_ref()) {
            return Err(tasks::undeclared().into());
        }
        let id = request.params.get("taskId").and_then(object::text);
        let id = id.ok_or_else(|| ErrorObject::invalid_params("params.taskId must be the id of a task"))?;
        let located = task_ids::find(context, &self.keys, &id);
        let located = located.filter(|located| era == Era::Modern || located.is_at(Era::Legacy));
        let located = located.ok_or_else(|| ErrorObject::invalid_params("unknown task"))?;
        let task = located.with_client_id(object::quote(&id));
        let target = Target::at(located.place, request.method.as_str());
        Ok((target.renaming("taskId", object::quote(&located.id)), task))
    }

    /// Returns the id transform for a call that a legacy client sends as a task.
    pub(crate) fn legacy_ids(
        &self,
        context: &RequestContext,
        session: &Arc<Session>,
        target: &Target<'_>,
    ) -> Arc<dyn TaskIdTransform> {
        let recorder = TaskRecorder::new(&self.sessions, session, &target.route.server.name);
        Arc::new(TaskIds::Sealed(self.seal(context, target).with_recorder(recorder)))
    }

    /// Returns the id transform for a modern client's call that may become a task; `None` if it cannot.
    pub(crate) fn modern_ids(
        &self,
        context: &RequestContext,
        target: &Target<'_>,
        capabilities: Option<&Bytes>,
    ) -> Option<Arc<dyn TaskIdTransform>> {
        let support = match target.task_support() {
            TaskSupport::Forbidden => TaskSupport::Forbidden,
            support if target.upstream().finds_tasks() => support,
            _ => TaskSupport::Forbidden,
        };
        let seal = || self.seal(context, target);
        let seal = match (tasks::are_declared(capabilities), support) {
            (true, TaskSupport::Forbidden) => seal(),
            (true, _) => seal().with_client_task(),
            (false, TaskSupport::Required) => seal().with_polled_task(self.config.timeouts.task),
            (false, _) => return None,
        };
        Some(Arc::new(TaskIds::Sealed(seal)))
    }

    fn seal(&self, context: &RequestContext, target: &Target<'_>) -> TaskSeal {
        let install = target.install.name;
        TaskSeal::new(&self.keys, &context.gateway.spec.name, &context.caller, install)
    }
}
