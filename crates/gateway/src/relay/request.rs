//! Builds the request for a server from a client's request.

use std::sync::Arc;

use portolan_client::{ClientCapabilities, TaskIdTransform, capability_filter, tasks::TaskSupport};
use portolan_core::{ResourceNaming, UpstreamCredential};
use portolan_wire::method::Method;

use super::{Relay, RequestSource, Resolved};
use crate::{
    relay_request::{ClientRequest, RelayRequest},
    routing::{passthrough_headers, uris},
};

impl Relay {
    /// Returns the request for the server, with the credential of its caller.
    pub(super) fn relay_request(
        &self,
        caller: RequestSource<'_>,
        resolved: &Resolved<'_>,
        request: Box<ClientRequest>,
        credential: Arc<UpstreamCredential>,
    ) -> RelayRequest {
        let (context, target) = (caller.context, &resolved.target);
        let tasks = self.task_ids(caller, resolved, &request);
        let mut params = request.params;
        if let Some((member, value)) = &target.rename {
            params.set(member, value.clone());
        }
        // For a client without tasks, `task` has no meaning (2025-11-25, basic/utilities/tasks).
        if caller.session.is_some() && tasks.is_none() && request.method == Method::ToolsCall {
            params.remove("task");
        }
        let declared = capability_filter(request.capabilities.as_ref(), &target.route.server);
        let capabilities = match caller.session {
            Some((session, _)) => session.capabilities,
            None => request
                .capabilities
                .as_ref()
                .map_or(ClientCapabilities::NONE, ClientCapabilities::read),
        };
        let uris = match context.gateway.spec.resource_naming {
            ResourceNaming::Prefix => Some(Arc::new(uris::rewrite(&target.route.server.name, &request.method))),
            _ => None,
        };
        RelayRequest {
            context: context.clone(),
            session: caller
                .session
                .map(|(session, call)| (session.clone(), call.cancelled.clone())),
            install: target.install.clone(),
            server: target.upstream(),
            credential,
            id: request.id,
            method: request.method,
            params,
            declared,
            capabilities: capabilities.within(target.route.server.server_requests),
            log: request.log,
            uris,
            tasks,
            tool: target.tool_entry(),
            passthrough: passthrough_headers(&context.gateway.passthrough, &context.headers),
        }
    }

    /// Returns how task ids in the response are rewritten; `None` for clients without tasks.
    fn task_ids(
        &self,
        caller: RequestSource<'_>,
        resolved: &Resolved<'_>,
        request: &ClientRequest,
    ) -> Option<Arc<dyn TaskIdTransform>> {
        if request.method != Method::ToolsCall {
            let task = resolved.task.clone()?;
            return Some(Arc::new(task));
        }
        let target = &resolved.target;
        match caller.session {
            Some((session, _)) => {
                let asks_for_task = request.params.contains("task") && session.has_tasks();
                if !asks_for_task || target.task_support() == TaskSupport::Forbidden {
                    return None;
                }
                Some(self.tasks.legacy_ids(caller.context, session, target))
            }
            None => self
                .tasks
                .modern_ids(caller.context, target, request.capabilities.as_ref()),
        }
    }
}
