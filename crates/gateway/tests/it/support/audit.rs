//! An audit sink that keeps what it is given.

use std::sync::{Arc, Mutex, MutexGuard};

use portolan_core::{AuditAction, AuditEvent, AuditOutcome, AuditSink, AuthErrorKind, AuthFailed};

/// Keeps calls and failed logins.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    calls: Mutex<Vec<CallRecord>>,
    logins: Mutex<Vec<LoginRecord>>,
}

/// An [`AuditEvent`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallRecord {
    pub(crate) subject: String,
    pub(crate) token_id: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) server: String,
    pub(crate) has_install: bool,
    pub(crate) action: AuditAction,
    pub(crate) what: String,
    pub(crate) outcome: AuditOutcome,
}

/// An [`AuthFailed`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginRecord {
    pub(crate) gateway: String,
    pub(crate) reason: AuthErrorKind,
    pub(crate) subject: Option<String>,
    pub(crate) token_id: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: Option<String>,
}

impl AuditLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock_calls(&self) -> MutexGuard<'_, Vec<CallRecord>> {
        self.calls.lock().expect("no panic")
    }

    /// Takes the records of calls so far.
    pub(crate) fn take_calls(&self) -> Vec<CallRecord> {
        std::mem::take(&mut *self.lock_calls())
    }

    /// Takes the only record of a call.
    #[track_caller]
    pub(crate) fn take_call(&self) -> CallRecord {
        let mut calls = self.take_calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    /// Takes the records of failed logins so far.
    pub(crate) fn take_logins(&self) -> Vec<LoginRecord> {
        std::mem::take(&mut *self.logins.lock().expect("no panic"))
    }

    /// Takes the only record of a failed login, where there is none of a call.
    #[track_caller]
    pub(crate) fn take_login(&self) -> LoginRecord {
        let mut logins = self.take_logins();
        assert_eq!(logins.len(), 1, "{logins:?}");
        assert_eq!(self.take_calls(), []);
        logins.remove(0)
    }
}

impl AuditSink for AuditLog {
    fn record(&self, event: &AuditEvent<'_>) {
        self.lock_calls().push(CallRecord {
            subject: event.subject.to_string(),
            token_id: event.token_id.map(str::to_owned),
            client: event.client.map(str::to_owned),
            request_id: event.request_id.map(str::to_owned),
            trace_id: event.trace_id.map(str::to_owned),
            server: event.server.to_string(),
            has_install: event.install.is_some(),
            action: event.action,
            what: event.tool.to_owned(),
            outcome: event.outcome.clone(),
        });
    }

    fn auth_failed(&self, event: &AuthFailed<'_>) {
        self.logins.lock().expect("no panic").push(LoginRecord {
            gateway: event.gateway.to_string(),
            reason: event.reason,
            subject: event.subject.map(ToString::to_string),
            token_id: event.token_id.map(str::to_owned),
            request_id: event.request_id.map(str::to_owned),
            trace_id: event.trace_id.map(str::to_owned),
        });
    }
}
