//! Audit records of calls, including cancelled and denied ones.

use std::{sync::Arc, time::Instant};

use portolan_core::{AuditAction, AuditEvent, AuditOutcome, InstallName, Result, ServerName};
use portolan_wire::method::Method;

use super::{Relay, outcome::Outcome};
use crate::{
    relay_request::ClientRequest,
    routing::{self, Denial, RequestContext, Target},
};

/// Records a call when it is dropped.
pub(super) struct AuditGuard<'a> {
    relay: &'a Relay,
    context: &'a RequestContext,
    server: &'a ServerName,
    install: InstallName,
    action: AuditAction,
    what: &'a str,
    client: Option<Arc<str>>,
    at: jiff::Timestamp,
    since: Instant,
    outcome: AuditOutcome,
}

impl<'a> AuditGuard<'a> {
    pub(super) fn begin(
        relay: &'a Relay,
        context: &'a RequestContext,
        target: &'a Target<'a>,
        request: &ClientRequest,
    ) -> Self {
        Self {
            relay,
            context,
            server: &target.route.server.name,
            install: target.install.name,
            action: action(&request.method),
            what: target.what(),
            client: request.client.clone(),
            at: relay.clock.now(),
            since: Instant::now(),
            outcome: AuditOutcome::Cancelled,
        }
    }

    pub(super) fn end(&mut self, sent: &Result<Outcome>) {
        self.outcome = match sent {
            Ok(Outcome::Refused(refused)) => AuditOutcome::Denied {
                reason: Some(refused.reason.clone()),
            },
            Ok(_) => AuditOutcome::Answered,
            Err(error) => {
                tracing::info!(server = %self.server, %error, "a call failed");
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
        event.client = self.client.as_deref();
        record(self.relay, self.context, event);
    }
}

/// Records a call that the policy denied.
pub(super) fn record_denial(relay: &Relay, context: &RequestContext, request: &ClientRequest, denial: &Denial) {
    let reason = match denial.decision.reason() {
        Some(reason) => Some(reason.to_owned().into()),
        None if denial.decision.is_visible() => Some("the token lacks a scope".into()),
        None => None,
    };
    let outcome = AuditOutcome::Denied { reason };
    let mut event = AuditEvent::new(
        relay.clock.now(),
        &context.gateway.spec.name,
        &context.caller.subject,
        &denial.server,
        &denial.name,
        outcome,
    );
    event.action = action(&request.method);
    event.client = request.client.as_deref();
    event.install = Some(denial.install);
    record(relay, context, event);
}

fn record<'a>(relay: &Relay, context: &'a RequestContext, mut event: AuditEvent<'a>) {
    event.token_id = context.caller.token_id.as_deref();
    event.request_id = Some(&context.request_id);
    event.trace_id = routing::trace_id(&context.headers);
    relay.audit.record(&event);
}

fn action(method: &Method) -> AuditAction {
    match method {
        Method::ToolsCall => AuditAction::CallTool,
        Method::PromptsGet => AuditAction::GetPrompt,
        Method::ResourcesRead => AuditAction::ReadResource,
        _ => AuditAction::Other,
    }
}
