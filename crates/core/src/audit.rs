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

    /// Takes the alarm that a server has changed the definition of a tool that was seen before: what people approved
    /// is not what they would call now. Without an own reading of it, it is a warning in the log.
    fn definition_changed(&self, change: &DefinitionChange<'_>) {
        tracing::warn!(
            target: "portolan::audit",
            server = %change.server,
            tool = change.tool,
            before = change.before,
            after = change.after,
            "a server has changed the definition of a tool"
        );
    }
}

/// A tool whose definition is not what it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DefinitionChange<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// The tool, as its server names it.
    pub tool: &'a str,
    /// SHA-256 of the definition that was known, in hexadecimal digits. Members are sorted and white space is gone.
    pub before: &'a str,
    /// The same of what the server lists now.
    pub after: &'a str,
}

impl<'a> DefinitionChange<'a> {
    /// A change of `tool` of `server` between two digests.
    pub fn new(server: &'a ServerName, tool: &'a str, before: &'a str, after: &'a str) -> Self {
        Self {
            server,
            tool,
            before,
            after,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditAction {
    /// A call of a tool.
    #[default]
    CallTool,
    /// A prompt.
    GetPrompt,
    /// The content of a resource.
    ReadResource,
    /// Anything else that a server was asked on behalf of a client, such as a completion.
    Other,
}

/// One call of a tool, or another request that a server was asked.
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
    /// What was asked for.
    pub action: AuditAction,
    /// The tool or prompt as its server names it, the URI of the resource, or the method.
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
            action: AuditAction::CallTool,
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
            action = ?event.action,
            tool = event.tool,
            outcome = ?event.outcome,
            took_ms = u64::try_from(event.took.as_millis()).unwrap_or(u64::MAX),
            "call"
        );
    }
}
