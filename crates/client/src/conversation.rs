//! The upstream side of a legacy client's session.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
};

use bytes::Bytes;
use portolan_core::{Channel, ServerName};
use portolan_wire::{era::ProtocolVersion, level::LogLevel};

use crate::{
    http_server::open_session::OpenSession,
    session::{
        UpstreamSession,
        stream_reader::{SessionStreamReader, StreamOpening},
    },
};

/// The conversation of a legacy client: the upstream sessions that belong to it alone, its log level, and the reader of
/// the GET streams of those sessions.
///
/// A relay creates one for each session of a legacy client and passes it with each request.
///
/// ```
/// use portolan_client::Conversation;
/// use portolan_wire::era::ProtocolVersion;
///
/// let conversation = Conversation::new("session 1", ProtocolVersion::V2025_11_25);
/// assert_eq!(conversation.level(), None);
/// ```
#[derive(Debug)]
pub struct Conversation {
    id: Box<str>,
    version: ProtocolVersion,
    /// The extensions that the client declared and that are relayed: a raw JSON object.
    extensions: Option<Bytes>,
    /// The number of the log level; 0 if the client set none.
    level: AtomicU8,
    sessions: Mutex<HashMap<ServerName, Arc<UpstreamSession>>>,
    /// Channels that keep state for this conversation.
    channels: Mutex<Vec<Weak<dyn Channel>>>,
    reader: OnceLock<Arc<dyn SessionStreamReader>>,
}

impl Conversation {
    /// Creates a conversation without upstream sessions. `id` is unique among conversations; stdio servers that isolate
    /// conversations get it.
    pub fn new(id: impl Into<Box<str>>, version: ProtocolVersion) -> Self {
        Self {
            id: id.into(),
            version,
            extensions: None,
            level: AtomicU8::default(),
            sessions: Mutex::default(),
            channels: Mutex::default(),
            reader: OnceLock::new(),
        }
    }

    /// Sets the extensions that servers are told that the client has: a raw JSON object, by name.
    ///
    /// ```
    /// use portolan_client::Conversation;
    /// use portolan_wire::era::ProtocolVersion;
    ///
    /// let extensions = bytes::Bytes::from_static(br#"{"io.modelcontextprotocol/ui":{}}"#);
    /// let conversation = Conversation::new("session 1", ProtocolVersion::V2025_11_25).with_extensions(Some(extensions));
    /// assert!(conversation.extensions().is_some());
    /// ```
    #[must_use]
    pub fn with_extensions(mut self, extensions: Option<Bytes>) -> Self {
        self.extensions = extensions;
        self
    }

    /// Returns the extensions that servers are told that the client has.
    pub fn extensions(&self) -> Option<&Bytes> {
        self.extensions.as_ref()
    }

    /// Returns the protocol version of the client.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Returns the lowest level of the log messages that the client wants, if it set one.
    pub fn level(&self) -> Option<LogLevel> {
        LogLevel::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Sets the lowest level of the log messages that the client wants.
    pub fn set_level(&self, level: Option<LogLevel>) {
        self.level.store(level.map_or(0, LogLevel::number), Ordering::Relaxed);
    }

    /// Sets the reader of the GET streams of this conversation's upstream sessions. The first call wins.
    pub fn read_streams_with(&self, reader: Arc<dyn SessionStreamReader>) {
        let _ = self.reader.set(reader);
    }

    /// Starts to read the GET streams of all open upstream sessions.
    pub fn follow_open_sessions(&self) {
        let Some(reader) = self.reader.get() else { return };
        for session in self.sessions() {
            drop(session.follow(&**reader));
        }
    }

    /// Returns the upstream sessions of this conversation.
    pub fn sessions(&self) -> Vec<Arc<UpstreamSession>> {
        self.lock().values().cloned().collect()
    }

    /// Ends the conversation: notifies the channels that isolate conversations, and returns the upstream sessions, which
    /// the caller has to [close](UpstreamSession::close).
    pub fn end(&self) -> Vec<Arc<UpstreamSession>> {
        let channels = std::mem::take(&mut *self.channels.lock().unwrap_or_else(PoisonError::into_inner));
        for channel in channels.iter().filter_map(Weak::upgrade) {
            channel.end(&self.id);
        }
        self.lock().drain().map(|(_, session)| session).collect()
    }

    pub(crate) fn id(&self) -> Arc<str> {
        (*self.id).into()
    }

    /// Returns `true` if the GET streams of this conversation have a reader.
    pub(crate) fn has_reader(&self) -> bool {
        self.reader.get().is_some()
    }

    /// Returns the session at `server` that belongs to this conversation, or makes one if there is none that `fits`.
    pub(crate) fn session(
        &self,
        server: &ServerName,
        fits: impl FnOnce(&UpstreamSession) -> bool,
        make: impl FnOnce() -> Arc<UpstreamSession>,
    ) -> Arc<UpstreamSession> {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get(server)
            && fits(session)
        {
            return session.clone();
        }
        let session = make();
        sessions.insert(server.clone(), session.clone());
        session
    }

    /// Records a channel that keeps state for this conversation, to be notified of its end.
    pub(crate) fn note_channel(&self, channel: &Arc<dyn Channel>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = Arc::downgrade(channel);
        if !channels.iter().any(|known| known.ptr_eq(&channel)) {
            channels.retain(|known| known.strong_count() > 0);
            channels.push(channel);
        }
    }

    /// Starts to read the GET stream of an open session, if this conversation has a reader and the stream has none.
    pub(crate) fn opened(&self, session: &UpstreamSession, open: &OpenSession) -> Option<StreamOpening> {
        let reader = self.reader.get()?;
        if open.is_followed() {
            return None;
        }
        session.follow(&**reader)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ServerName, Arc<UpstreamSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
