//! Audit records: who did what, with which credential, and how it ended.

use std::{borrow::Cow, fmt::Debug, time::Duration};

use jiff::Timestamp;

use crate::{AuthErrorKind, GatewayName, InstallName, ServerName, Subject};

/// Takes audit records: calls and denials ([`record`](Self::record)), failed logins
/// ([`auth_failed`](Self::auth_failed)) and changed tool definitions ([`definition_changed`](Self::definition_changed)).
///
/// # Contract
///
/// - Every method returns at once, without I/O, and never fails the request that it is about. A sink that cannot keep up
///   drops records and counts them.
/// - Records hold no secrets, no arguments and no results.
/// - A sink bears any number of failed logins: strangers cause them.
/// - [`takes_records`](Self::takes_records) is `false` only while [`record`](Self::record) would drop every record.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use portolan_core::{AuditEvent, AuditOutcome, AuditSink, AuthFailed};
///
/// #[derive(Debug, Default)]
/// struct Denials(AtomicUsize);
///
/// impl AuditSink for Denials {
///     fn record(&self, event: &AuditEvent<'_>) {
///         if matches!(event.outcome, AuditOutcome::Denied { .. }) {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
///
///     fn auth_failed(&self, _: &AuthFailed<'_>) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait AuditSink: Debug + Send + Sync {
    /// Takes the record of one call, also of one that a policy or a guard denied.
    fn record(&self, event: &AuditEvent<'_>);

    /// Returns `false` if records of calls would be dropped now, so that none is made. Asked when a call begins; `true` by
    /// default.
    fn takes_records(&self) -> bool {
        true
    }

    /// Takes the record of a request whose authentication failed. By default it is logged: target `portolan::audit`, level
    /// info, or debug for a request without a credential.
    fn auth_failed(&self, event: &AuthFailed<'_>) {
        event.log();
    }

    /// Takes the alarm that a server has changed the definition of a tool, so that what people approved is no longer what
    /// they would call. By default it is a warning in the log.
    fn definition_changed(&self, change: &DefinitionChange<'_>) {
        tracing::warn!(
            target: "portolan::audit",
            server = %change.server,
            tool = change.tool,
            before = change.before,
            after = change.after,
            restarted = change.restarted,
            "a server has changed the definition of a tool"
        );
    }
}

/// A changed definition of a tool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DefinitionChange<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// The tool, as its server names it.
    pub tool: &'a str,
    /// The SHA-256 of the known definition, in hexadecimal digits, with sorted members and without white space.
    pub before: &'a str,
    /// The SHA-256 of the definition that the server lists now.
    pub after: &'a str,
    /// `true` if the server is known to have been restarted in between.
    pub restarted: bool,
}

impl<'a> DefinitionChange<'a> {
    /// Creates the change of `tool` of `server` between two digests.
    ///
    /// ```
    /// use portolan_core::{AuditSink, DefinitionChange, ServerName, TraceAudit};
    ///
    /// let server = ServerName::parse("github")?;
    /// TraceAudit.definition_changed(&DefinitionChange::new(&server, "create_issue", "ab12", "cd34"));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(server: &'a ServerName, tool: &'a str, before: &'a str, after: &'a str) -> Self {
        Self {
            server,
            tool,
            before,
            after,
            restarted: false,
        }
    }
}

/// The kind of request that a record is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// A call of a tool.
    #[default]
    CallTool,
    /// A request for a prompt.
    GetPrompt,
    /// A request for the content of a resource.
    ReadResource,
    /// Any other request that a server was sent on behalf of a client, such as a completion.
    Other,
}

/// The record of one call of a tool, or of another request to a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent<'a> {
    /// The time at which the call began.
    pub at: Timestamp,
    /// The gateway.
    pub gateway: &'a GatewayName,
    /// The caller.
    pub subject: &'a Subject,
    /// The identifier of the caller's token ([`Caller::token_id`](crate::Caller::token_id)).
    pub token_id: Option<&'a str>,
    /// The name of the client software (`clientInfo.name`), as the client states it.
    pub client: Option<&'a str>,
    /// The identifier of the request in logs, unique to this gateway.
    pub request_id: Option<&'a str>,
    /// The trace that the request belongs to: 32 hexadecimal digits (W3C Trace Context, `trace-id`).
    pub trace_id: Option<&'a str>,
    /// The server that was called.
    pub server: &'a ServerName,
    /// The install whose credential was used.
    pub install: Option<InstallName>,
    /// The kind of request.
    pub action: AuditAction,
    /// The tool or prompt as its server names it, the URI of the resource, or the method.
    pub tool: &'a str,
    /// The outcome.
    pub outcome: AuditOutcome,
    /// The time until the answer began.
    pub took: Duration,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// The server answered, with a result or an error.
    Answered,
    /// The server gave no answer.
    Failed,
    /// The client went away before the answer.
    Cancelled,
    /// A policy or a guard denied the call; the server was not called.
    Denied {
        /// The reason that the policy or guard gave. The client does not see it.
        reason: Option<Cow<'static, str>>,
    },
}

impl<'a> AuditEvent<'a> {
    /// Creates the record of a call of `tool` of `server`.
    ///
    /// ```
    /// use portolan_core::{
    ///     AuditEvent, AuditOutcome, AuditSink, Clock, GatewayName, ServerName, Subject, SystemClock, TraceAudit,
    /// };
    ///
    /// let (gateway, server) = (GatewayName::parse("default")?, ServerName::parse("github")?);
    /// let outcome = AuditOutcome::Denied { reason: Some("outside of office hours".into()) };
    /// let event = AuditEvent::new(SystemClock.now(), &gateway, &Subject::Org, &server, "create_issue", outcome)
    ///     .with_request_id("01890a5d")
    ///     .with_client("inspector");
    /// TraceAudit.record(&event);
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
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
            token_id: None,
            client: None,
            request_id: None,
            trace_id: None,
            server,
            install: None,
            action: AuditAction::CallTool,
            tool,
            outcome,
            took: Duration::ZERO,
        }
    }

    /// Sets the identifier of the caller's token.
    #[must_use]
    pub fn with_token_id(mut self, id: &'a str) -> Self {
        self.token_id = Some(id);
        self
    }

    /// Sets the name of the client software.
    #[must_use]
    pub fn with_client(mut self, name: &'a str) -> Self {
        self.client = Some(name);
        self
    }

    /// Sets the identifier of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Sets the trace.
    #[must_use]
    pub fn with_trace_id(mut self, id: &'a str) -> Self {
        self.trace_id = Some(id);
        self
    }
}

/// The record of a request whose authentication failed. It holds no part of a credential.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthFailed<'a> {
    /// The time of the request.
    pub at: Timestamp,
    /// The gateway that was asked for. It need not exist.
    pub gateway: &'a GatewayName,
    /// The reason.
    pub reason: AuthErrorKind,
    /// The caller, where the credential is valid and does not admit to the gateway.
    pub subject: Option<&'a Subject>,
    /// The identifier of the caller's token, where it is known.
    pub token_id: Option<&'a str>,
    /// The identifier of the request in logs.
    pub request_id: Option<&'a str>,
    /// The trace that the request belongs to.
    pub trace_id: Option<&'a str>,
}

impl<'a> AuthFailed<'a> {
    /// Creates the record of a failed authentication at `gateway`.
    ///
    /// ```
    /// use portolan_core::{AuditSink, AuthErrorKind, AuthFailed, Clock, GatewayName, SystemClock, TraceAudit};
    ///
    /// let gateway = GatewayName::parse("default")?;
    /// TraceAudit.auth_failed(&AuthFailed::new(SystemClock.now(), &gateway, AuthErrorKind::Expired));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(at: Timestamp, gateway: &'a GatewayName, reason: AuthErrorKind) -> Self {
        Self {
            at,
            gateway,
            reason,
            subject: None,
            token_id: None,
            request_id: None,
            trace_id: None,
        }
    }

    /// Sets the caller.
    #[must_use]
    pub fn with_subject(mut self, subject: &'a Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Sets the identifier of the caller's token.
    #[must_use]
    pub fn with_token_id(mut self, id: &'a str) -> Self {
        self.token_id = Some(id);
        self
    }

    /// Sets the identifier of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Sets the trace.
    #[must_use]
    pub fn with_trace_id(mut self, id: &'a str) -> Self {
        self.trace_id = Some(id);
        self
    }

    fn log(&self) {
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    target: "portolan::audit",
                    gateway = %self.gateway,
                    reason = %self.reason,
                    caller = self.subject.map(tracing::field::display),
                    token_id = self.token_id,
                    request_id = self.request_id,
                    trace_id = self.trace_id,
                    "authentication failed"
                )
            };
        }
        // Clients that log in by OAuth send a first request without a credential, to be told where to get one.
        if self.reason == AuthErrorKind::Missing {
            log!(debug);
        } else {
            log!(info);
        }
    }
}

/// Writes records to `tracing`: target `portolan::audit`, level info.
///
/// For an example, see [`AuditEvent::new`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceAudit;

impl AuditSink for TraceAudit {
    fn takes_records(&self) -> bool {
        tracing::enabled!(target: "portolan::audit", tracing::Level::INFO)
    }

    fn record(&self, event: &AuditEvent<'_>) {
        let (outcome, reason) = match &event.outcome {
            AuditOutcome::Answered => ("answered", None),
            AuditOutcome::Failed => ("failed", None),
            AuditOutcome::Cancelled => ("cancelled", None),
            AuditOutcome::Denied { reason } => ("denied", reason.as_deref()),
        };
        tracing::info!(
            target: "portolan::audit",
            gateway = %event.gateway,
            caller = %event.subject,
            token_id = event.token_id,
            client = event.client,
            request_id = event.request_id,
            trace_id = event.trace_id,
            server = %event.server,
            install = event.install.map(tracing::field::display),
            action = ?event.action,
            tool = event.tool,
            outcome,
            reason,
            took_ms = u64::try_from(event.took.as_millis()).unwrap_or(u64::MAX),
            "call"
        );
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;

    /// Takes what is logged from a level on.
    struct From(tracing::Level);

    impl Subscriber for From {
        fn enabled(&self, about: &Metadata<'_>) -> bool {
            *about.level() <= self.0
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn log_takes_records_at_info() {
        for (level, takes) in [(tracing::Level::INFO, true), (tracing::Level::WARN, false)] {
            tracing::subscriber::with_default(From(level), || assert_eq!(TraceAudit.takes_records(), takes));
        }
    }
}
