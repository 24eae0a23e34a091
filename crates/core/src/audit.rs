//! Audit: who did what, as whom, and how it ended.

use std::{fmt::Debug, time::Duration};

use jiff::Timestamp;

use crate::{GatewayName, InstallName, ServerName, Subject};

/// Takes records of what happened.
///
/// # Contract
///
/// - `record` returns at once and never fails the call that it is about; what a sink cannot keep up with it drops and
///   counts.
/// - Records hold no secrets, no arguments and no results.
pub trait AuditSink: Debug + Send + Sync {
    /// Takes one record.
    fn record(&self, event: &AuditEvent<'_>);
}

/// One call of a tool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent<'a> {
    /// When it began.
    pub at: Timestamp,
    /// Through which gateway.
    pub gateway: &'a GatewayName,
    /// Who called.
    pub subject: &'a Subject,
    /// The server that was called.
    pub server: &'a ServerName,
    /// The install whose credential was used.
    pub install: Option<InstallName>,
    /// The tool, as its server names it.
    pub tool: &'a str,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// How long it took until the answer began.
    pub took: Duration,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// The upstream answered, with a result or an error.
    Answered,
    /// There was no answer from the upstream.
    Failed,
    /// The client went away first.
    Cancelled,
}

impl<'a> AuditEvent<'a> {
    /// A record of a call of `tool` of `server`.
    pub fn new(
        at: Timestamp,
        gateway: &'a GatewayName,
        subject: &'a Subject,
        server: &'a ServerName,
        tool: &'a str,
        outcome: AuditOutcome,
    ) -> Self {
        Self {
            at,
            gateway,
            subject,
            server,
            install: None,
            tool,
            outcome,
            took: Duration::ZERO,
        }
    }
}

/// Writes records to `tracing`, target `portolan::audit`, level info.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceAudit;

impl AuditSink for TraceAudit {
    fn record(&self, event: &AuditEvent<'_>) {
        tracing::info!(
            target: "portolan::audit",
            gateway = %event.gateway,
            caller = %event.subject,
            server = %event.server,
            install = event.install.map(tracing::field::display),
            tool = event.tool,
            outcome = ?event.outcome,
            took_ms = u64::try_from(event.took.as_millis()).unwrap_or(u64::MAX),
            "tool call"
        );
    }
}
