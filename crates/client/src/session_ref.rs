//! References to sessions at legacy servers, for other replicas.

/// A reference to a session at a legacy server, with which any replica can join it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamSessionRef {
    /// The session id; `None` for servers without sessions.
    pub session: Option<Box<str>>,
    /// The negotiated protocol version.
    pub version: Box<str>,
}

impl UpstreamSessionRef {
    /// Creates the reference of a session.
    ///
    /// ```
    /// let session = portolan_client::UpstreamSessionRef::new(Some("7f3a"), "2025-11-25");
    /// assert_eq!(session.session.as_deref(), Some("7f3a"));
    /// ```
    pub fn new(session: Option<&str>, version: &str) -> Self {
        Self {
            session: session.map(Box::from),
            version: version.into(),
        }
    }

    /// Returns the reference of the one session of a stdio server, which all callers share.
    pub(crate) fn of_process(version: &str) -> Self {
        Self::new(None, version)
    }
}
