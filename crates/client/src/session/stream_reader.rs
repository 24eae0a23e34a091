//! Readers of the GET streams of sessions.

use std::{fmt::Debug, sync::Arc};

use portolan_core::UpstreamCredential;
use tokio::sync::oneshot;

use crate::http_server::{HttpServer, open_session::OpenSession};

/// Resolves when a GET stream is open, or when it is known that the server has none.
pub type StreamOpening = oneshot::Receiver<()>;

/// Reads the GET streams of the upstream sessions of one conversation.
///
/// ```
/// use std::sync::Arc;
/// use portolan_client::{
///     Conversation, HttpServer, OpenSession, ProtocolVersion, SessionStreamReader, StreamOpening, UpstreamCredential,
/// };
///
/// /// Reads none: what the servers send outside of calls is lost.
/// #[derive(Debug)]
/// struct NoReader;
///
/// impl SessionStreamReader for NoReader {
///     fn follow(&self, _: &Arc<HttpServer>, _: &Arc<OpenSession>, _: &Arc<UpstreamCredential>) -> Option<StreamOpening> {
///         None
///     }
/// }
///
/// let conversation = Conversation::new("session 1", ProtocolVersion::V2025_11_25);
/// conversation.read_streams_with(Arc::new(NoReader));
/// ```
pub trait SessionStreamReader: Debug + Send + Sync {
    /// Starts to read the GET stream of `session` at `server`, unless it is read already. Returns `None` if there is
    /// nothing to wait for.
    fn follow(
        &self,
        server: &Arc<HttpServer>,
        session: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
    ) -> Option<StreamOpening>;
}
