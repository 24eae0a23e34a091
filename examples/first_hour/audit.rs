//! An audit file: one JSON object on each line, for each call, denial and failed login.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::mpsc::{SyncSender, sync_channel},
};

use portolan::{AuditEvent, AuditSink, AuthFailed};
use serde_json::{Value, json};

/// Lines that wait to be written.
const WAITING: usize = 4096;

/// Hands lines to a thread that writes them, because a sink must return at once.
#[derive(Debug)]
pub(crate) struct JsonLines(SyncSender<Value>);

impl JsonLines {
    pub(crate) fn append(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let (sender, lines) = sync_channel::<Value>(WAITING);
        std::thread::spawn(move || {
            for line in lines {
                // A real product raises an alarm when this fails.
                let _ = writeln!(file, "{line}");
            }
        });
        Ok(Self(sender))
    }
}

impl AuditSink for JsonLines {
    fn record(&self, event: &AuditEvent<'_>) {
        let _ = self.0.try_send(json!({
            "at": event.at.to_string(),
            "gateway": event.gateway.as_str(),
            "who": event.subject.to_string(),
            "server": event.server.as_str(),
            "tool": event.tool,
            "outcome": format!("{:?}", event.outcome),
            "ms": event.took.as_millis(),
        }));
    }

    fn auth_failed(&self, event: &AuthFailed<'_>) {
        let _ = self.0.try_send(json!({
            "at": event.at.to_string(),
            "gateway": event.gateway.as_str(),
            "outcome": format!("login failed: {}", event.reason),
        }));
    }
}
