//! Audit records of calls, including cancelled and denied ones.

use std::time::{Duration, Instant};

use portolan_core::{AuditAction, AuditEvent, AuditOutcome, InstallName, Result, ServerName};
use portolan_wire::method::Method;

use super::{Relay, outcome::Outcome};
use crate::{
    client_software::ClientSoftware,
    relay_request::ClientRequest,
    routing::{self, Denial, RequestContext, Target},
};

/// Records a call when it is dropped.
pub(super) struct AuditGuard<'a> {
    relay: &'a Relay,
    server: &'a ServerName,
    /// The call; `None` if the sink takes no records.
    call: Option<(AuditedCall<'a>, Instant)>,
    outcome: AuditOutcome,
}

/// What the record of a call says, apart from how it ended.
struct AuditedCall<'a> {
    context: &'a RequestContext,
    server: &'a ServerName,
    install: InstallName,
    action: AuditAction,
    what: &'a str,
    client: Option<ClientSoftware>,
    at: jiff::Timestamp,
}

impl<'a> AuditGuard<'a> {
    pub(super) fn begin(
        relay: &'a Relay,
        context: &'a RequestContext,
        target: &'a Target<'a>,
        request: &ClientRequest,
    ) -> Self {
        let call = || AuditedCall {
            context,
            server: &target.route.server.name,
            install: target.install.name,
            action: action(&request.method),
            what: target.what(),
            client: request.client.clone(),
            at: relay.clock.now(),
        };
        Self {
            relay,
            server: &target.route.server.name,
            call: relay.audit.takes_records().then(|| (call(), Instant::now())),
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
        if let Some((call, since)) = &self.call {
            let outcome = std::mem::replace(&mut self.outcome, AuditOutcome::Cancelled);
            call.record(self.relay, outcome, since.elapsed());
        }
    }
}

impl AuditedCall<'_> {
    fn record(&self, relay: &Relay, outcome: AuditOutcome, took: Duration) {
        let (gateway, caller) = (&self.context.gateway.spec.name, &self.context.caller);
        let mut event = AuditEvent::new(self.at, gateway, &caller.subject, self.server, self.what, outcome);
        event.token_id = caller.token_id.as_deref();
        let client = self.client.as_ref().and_then(ClientSoftware::name);
        event.client = client.as_deref();
        event.request_id = Some(self.context.request_id.as_str());
        event.trace_id = routing::trace_id(&self.context.headers);
        event.install = Some(self.install);
        event.action = self.action;
        event.took = took;
        relay.audit.record(&event);
    }
}

/// Records a call that the policy denied.
pub(super) fn record_denial(relay: &Relay, context: &RequestContext, request: &ClientRequest, denial: &Denial) {
    let reason = match denial.decision.reason() {
        Some(reason) => Some(reason.to_owned().into()),
        None if denial.decision.is_visible() => Some("the token lacks a scope".into()),
        None => None,
    };
    let call = AuditedCall {
        context,
        server: &denial.server,
        install: denial.install,
        action: action(&request.method),
        what: &denial.name,
        client: request.client.clone(),
        at: relay.clock.now(),
    };
    call.record(relay, AuditOutcome::Denied { reason }, Duration::ZERO);
}

fn action(method: &Method) -> AuditAction {
    match method {
        Method::ToolsCall => AuditAction::CallTool,
        Method::PromptsGet => AuditAction::GetPrompt,
        Method::ResourcesRead => AuditAction::ReadResource,
        _ => AuditAction::Other,
    }
}
