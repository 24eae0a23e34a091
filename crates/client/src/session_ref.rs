//! A session at a legacy server, as another replica can join it.

/// Names a session at a legacy server, so that any replica can take part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamSessionRef {
    /// The server's id of the session; `None` for servers without sessions.
    pub session: Option<Box<str>>,
    /// The protocol version that was agreed on.
    pub version: Box<str>,
}

impl UpstreamSessionRef {
    /// The session `session` that speaks `version`.
    pub fn new(session: Option<&str>, version: &str) -> Self {
        Self {
            session: session.map(Box::from),
            version: version.into(),
        }
    }

    /// The one session of a stdio server that all callers share.
    pub(crate) fn of_process(version: &str) -> Self {
        Self::new(None, version)
    }
}
