//! Who reads the GET streams of sessions, where that is not this client.

use std::{fmt::Debug, sync::Arc};

use portolan_core::UpstreamCredential;
use tokio::sync::oneshot;

use crate::http_server::{HttpServer, open_session::OpenSession};

/// Resolves when a GET stream is open, or when it is known that the server has none.
pub type StreamOpening = oneshot::Receiver<()>;

/// Reads the GET streams of the upstream sessions of one conversation.
pub trait SessionStreamReader: Debug + Send + Sync {
    /// Starts to read the GET stream of `session` at `server`, unless it is read already. `None` if there is nothing to
    /// wait for.
    fn follow(
        &self,
        server: &Arc<HttpServer>,
        session: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
    ) -> Option<StreamOpening>;
}
