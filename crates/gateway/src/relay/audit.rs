//! The audit record of a call, also of one whose client goes away.

use std::time::Instant;

use portolan_core::{AuditAction, AuditEvent, AuditOutcome, InstallName, Result, ServerName};
use portolan_wire::method::Method;

use super::Target;
use crate::{request_context::RequestContext, service::Inner, upstream::Reply};

pub(super) struct AuditGuard<'a> {
    inner: &'a Inner,
    context: &'a RequestContext,
    server: &'a ServerName,
    install: InstallName,
    action: AuditAction,
    what: &'a str,
    at: jiff::Timestamp,
    since: Instant,
    outcome: AuditOutcome,
}

impl<'a> AuditGuard<'a> {
    pub(super) fn begin(
        inner: &'a Inner,
        context: &'a RequestContext,
        target: &'a Target<'a>,
        method: &Method,
    ) -> Self {
        Self {
            inner,
            context,
            server: &target.mount.server.name,
            install: target.mounted.install.name,
            action: match method {
                Method::ToolsCall => AuditAction::CallTool,
                Method::PromptsGet => AuditAction::GetPrompt,
                Method::ResourcesRead => AuditAction::ReadResource,
                _ => AuditAction::Other,
            },
            what: target.what(),
            at: inner.clock.now(),
            since: Instant::now(),
            outcome: AuditOutcome::Cancelled,
        }
    }

    pub(super) fn end(&mut self, sent: &Result<Reply>) {
        self.outcome = match sent {
            Ok(_) => AuditOutcome::Answered,
            Err(error) => {
                tracing::info!(server = %self.server, %error, "a call has no answer");
                AuditOutcome::Failed
            }
        };
    }
}

impl Drop for AuditGuard<'_> {
    fn drop(&mut self) {
        let mut event = AuditEvent::new(
            self.at,
            &self.context.gateway.spec.name,
            &self.context.caller.subject,
            self.server,
            self.what,
            self.outcome.clone(),
        );
        event.action = self.action;
        event.install = Some(self.install);
        event.took = self.since.elapsed();
        self.inner.audit.record(&event);
    }
}
