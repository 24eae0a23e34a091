//! `logging/setLevel` of legacy clients.

use std::sync::Arc;

use bytes::Bytes;
use portolan_wire::{error::ErrorObject, level::LogLevel, object::RawObject};

use super::Subscriptions;
use crate::{routing::RequestContext, sessions::Session};

impl Subscriptions {
    /// Sets the minimum level of log messages for a session. Servers with open upstream sessions are updated now,
    /// others when they are called: legacy servers by `logging/setLevel`, modern servers in each request.
    pub(crate) async fn set_level(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let level = level(params.get("level"))?;
        let subscriber = self.session_subscriber(session, context);
        self.change(session, &subscriber, context, |state| {
            state.level.replace(level) != Some(level)
        })
        .await?;
        let opened = session.conversation.sessions();
        self.background.spawn(async move {
            for upstream in opened {
                upstream.set_level(level).await;
            }
        });
        Ok(Bytes::from_static(b"{}"))
    }
}

/// Parses a log level from raw JSON.
pub(crate) fn level(raw: Option<&Bytes>) -> Result<LogLevel, ErrorObject> {
    let level = raw.and_then(LogLevel::from_raw);
    level.ok_or_else(|| {
        ErrorObject::invalid_params(
            "a log level is one of debug, info, notice, warning, error, critical, alert and emergency",
        )
    })
}
