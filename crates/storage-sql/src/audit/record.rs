//! Audit records as they are stored.

use jiff::Timestamp;
use portolan_core::{AuditAction, AuditEvent, AuditOutcome, AuthFailed, DefinitionChange};
use serde::{Deserialize, Serialize};

use crate::rows::AuditRow;

/// The most bytes of a text in a record. Longer ones are cut: callers and servers choose some of them.
const MAX_TEXT: usize = 1 << 10;

/// A stored audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditRecord {
    /// The time of the event, in microseconds.
    #[serde(skip)]
    pub at: Timestamp,
    /// The gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The caller, as [`Subject`](portolan_core::Subject) writes itself: `user:alice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The identifier of the caller's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The name of the client software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The identifier of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The event itself.
    pub event: StoredEvent,
}

/// What a stored record is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum StoredEvent {
    /// A call of a tool, or another request to a server.
    Call {
        /// `call_tool`, `get_prompt`, `read_resource` or `other`.
        action: String,
        /// The tool, prompt, URI or method.
        tool: String,
        /// `answered`, `failed`, `cancelled` or `denied`.
        outcome: String,
        /// The reason of a denial.
        reason: Option<String>,
        /// The install whose credential was used.
        install: Option<String>,
        /// The time until the answer began, in microseconds.
        took_us: u64,
    },
    /// A failed authentication.
    AuthFailed {
        /// The reason.
        reason: String,
    },
    /// A changed definition of a tool.
    DefinitionChanged {
        /// The tool.
        tool: String,
        /// The digest of the known definition.
        before: String,
        /// The digest of the definition that the server lists now.
        after: String,
    },
    /// Records were lost before this one: the database did not keep up, or was away.
    Dropped {
        /// Their number.
        count: u64,
    },
    /// An event that only a newer release knows.
    #[serde(other)]
    Unknown,
}

impl AuditRecord {
    fn new(at: Timestamp, event: StoredEvent) -> Self {
        Self {
            at,
            gateway: None,
            caller: None,
            server: None,
            token_id: None,
            client: None,
            request_id: None,
            trace_id: None,
            event,
        }
    }

    pub(super) fn of_call(event: &AuditEvent<'_>) -> Self {
        let (outcome, reason) = match &event.outcome {
            AuditOutcome::Answered => ("answered", None),
            AuditOutcome::Failed => ("failed", None),
            AuditOutcome::Cancelled => ("cancelled", None),
            AuditOutcome::Denied { reason } => ("denied", reason.as_deref()),
            _ => ("unknown", None),
        };
        let action = match event.action {
            AuditAction::CallTool => "call_tool",
            AuditAction::GetPrompt => "get_prompt",
            AuditAction::ReadResource => "read_resource",
            _ => "other",
        };
        let call = StoredEvent::Call {
            action: action.into(),
            tool: text(event.tool),
            outcome: outcome.into(),
            reason: reason.map(text),
            install: event.install.map(|install| install.to_string()),
            took_us: u64::try_from(event.took.as_micros()).unwrap_or(u64::MAX),
        };
        Self {
            gateway: Some(text(event.gateway.as_str())),
            caller: Some(text(&event.subject.to_string())),
            server: Some(text(event.server.as_str())),
            token_id: event.token_id.map(text),
            client: event.client.map(text),
            request_id: event.request_id.map(text),
            trace_id: event.trace_id.map(text),
            ..Self::new(event.at, call)
        }
    }

    pub(super) fn of_failed_login(event: &AuthFailed<'_>) -> Self {
        let reason = text(&event.reason.to_string());
        Self {
            gateway: Some(text(event.gateway.as_str())),
            caller: event.subject.map(|subject| text(&subject.to_string())),
            token_id: event.token_id.map(text),
            request_id: event.request_id.map(text),
            trace_id: event.trace_id.map(text),
            ..Self::new(event.at, StoredEvent::AuthFailed { reason })
        }
    }

    pub(super) fn of_change(at: Timestamp, change: &DefinitionChange<'_>) -> Self {
        let event = StoredEvent::DefinitionChanged {
            tool: text(change.tool),
            before: text(change.before),
            after: text(change.after),
        };
        Self {
            server: Some(text(change.server.as_str())),
            ..Self::new(at, event)
        }
    }

    pub(super) fn of_dropped(at: Timestamp, count: u64) -> Self {
        Self::new(at, StoredEvent::Dropped { count })
    }

    pub(super) fn to_row(&self) -> Result<AuditRow, serde_json::Error> {
        Ok(AuditRow {
            at: self.at.as_microsecond(),
            gateway: self.gateway.clone(),
            caller: self.caller.clone(),
            server: self.server.clone(),
            body: serde_json::to_string(self)?,
        })
    }
}

/// Cuts a text to the bound, and leaves out NUL, which PostgreSQL's text cannot hold.
fn text(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut kept = text.get(..end).unwrap_or_default().replace('\0', "\u{fffd}");
    if end < text.len() {
        kept.push('…');
    }
    kept
}
