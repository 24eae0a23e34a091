//! The session of a legacy client of a relay, as far as its upstream side goes.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
};

use portolan_core::{Channel, ServerName};
use portolan_wire::{era::ProtocolVersion, level::LogLevel};

use crate::{
    http_server::open_session::OpenSession,
    session::{
        UpstreamSession,
        stream_reader::{SessionStreamReader, StreamOpening},
    },
};

/// One conversation of a legacy client: the upstream sessions that belong to it alone, its log level, and who reads the GET
/// streams of those sessions.
///
/// A relay makes one for each session of a legacy client and passes it with each request.
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
    /// The number of the log level; 0 if the client set none.
    level: AtomicU8,
    sessions: Mutex<HashMap<ServerName, Arc<UpstreamSession>>>,
    /// Channels that keep something for this conversation.
    channels: Mutex<Vec<Weak<dyn Channel>>>,
    reader: OnceLock<Arc<dyn SessionStreamReader>>,
}

impl Conversation {
    /// A conversation with no upstream session yet. `id` tells it from every other conversation; stdio servers that isolate
    /// conversations are sent it.
    pub fn new(id: impl Into<Box<str>>, version: ProtocolVersion) -> Self {
        Self {
            id: id.into(),
            version,
            level: AtomicU8::default(),
            sessions: Mutex::default(),
            channels: Mutex::default(),
            reader: OnceLock::new(),
        }
    }

    /// The protocol version that the client speaks.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The level from which on the client wants log messages, if it set one.
    pub fn level(&self) -> Option<LogLevel> {
        LogLevel::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Sets the level from which on the client wants log messages.
    pub fn set_level(&self, level: Option<LogLevel>) {
        self.level.store(level.map_or(0, LogLevel::number), Ordering::Relaxed);
    }

    /// Sets who reads the GET streams of this conversation's upstream sessions. The first one stays.
    pub fn read_streams_with(&self, reader: Arc<dyn SessionStreamReader>) {
        let _ = self.reader.set(reader);
    }

    /// Reads the GET streams of the upstream sessions that are open now.
    pub fn follow_open_sessions(&self) {
        let Some(reader) = self.reader.get() else { return };
        for session in self.sessions() {
            drop(session.follow(&**reader));
        }
    }

    /// The upstream sessions of this conversation.
    pub fn sessions(&self) -> Vec<Arc<UpstreamSession>> {
        self.lock().values().cloned().collect()
    }

    /// Ends the conversation: tells stdio servers that isolate conversations, and returns the upstream sessions, which the
    /// caller has to [close](UpstreamSession::close).
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

    /// Whether somebody reads the GET streams of this conversation.
    pub(crate) fn has_reader(&self) -> bool {
        self.reader.get().is_some()
    }

    /// The session at `server` that belongs to this conversation, made where there is none that `fits`.
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

    /// Notes a channel that keeps something for this conversation, until it is told that the conversation is over.
    pub(crate) fn note_channel(&self, channel: &Arc<dyn Channel>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = Arc::downgrade(channel);
        if !channels.iter().any(|known| known.ptr_eq(&channel)) {
            channels.retain(|known| known.strong_count() > 0);
            channels.push(channel);
        }
    }

    /// Reads the GET stream of a session that is open, if somebody reads streams here and does not read this one.
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
