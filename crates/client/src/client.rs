//! What all servers of one client share: configuration, connector, background work.

use std::{error::Error as StdError, fmt, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portolan_core::{Error, Failure, FailureKind, Result, ServerName};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::ClientConfig,
    connect::{Connect, TcpConnect},
    http1::{Connection, ConnectionError, ConnectionPool, ResponseBody, SendError},
    write_yield,
};

/// An MCP client of either era. Servers are reached through it: see [`UpstreamServer`](crate::UpstreamServer).
///
/// Clones are one client. What it runs in the background ends with [`end`](Self::end).
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    connect: Arc<dyn Connect>,
    tasks: TaskTracker,
    /// What listens to servers, until it is not wanted or the client ends.
    streams: TaskTracker,
    /// Cancelled when the client ends: stops what would go on for ever.
    ended: CancellationToken,
}

impl Client {
    /// A client that connects by TCP and TLS ([`TcpConnect`]).
    ///
    /// ```
    /// use portolan_client::{Client, ClientConfig};
    /// let client = Client::new(ClientConfig::default());
    /// ```
    pub fn new(config: ClientConfig) -> Self {
        let connect = TcpConnect::new(config.timeouts.connect);
        Self::with_connect(config, Arc::new(connect))
    }

    /// A client that opens connections with `connect`.
    pub fn with_connect(config: ClientConfig, connect: Arc<dyn Connect>) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                connect,
                tasks: TaskTracker::new(),
                streams: TaskTracker::new(),
                ended: CancellationToken::new(),
            }),
        }
    }

    /// How it behaves.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// The short work that outlives a call, such as a cancellation on its way. Waiting for it is how a host ends in order.
    pub fn background(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// Cancelled when this client has ended.
    pub fn ended(&self) -> &CancellationToken {
        &self.shared.ended
    }

    /// Stops what this client runs in the background: listening to servers, refreshing lists.
    pub fn end(&self) {
        self.shared.ended.cancel();
    }

    /// Ends this client, and waits until the streams that it has open to servers are closed, each with the session that it is
    /// in, and until its background work is done.
    pub async fn closed(&self) {
        self.end();
        self.shared.streams.close();
        self.shared.tasks.close();
        // A stream that closes leaves the end of its session to do.
        self.shared.streams.wait().await;
        self.shared.tasks.wait().await;
    }

    /// What listens to servers.
    pub(crate) fn streams(&self) -> &TaskTracker {
        &self.shared.streams
    }

    /// Sends an HTTP request to the server at `uri`, over a connection of `pool` or a new one, and waits for the head of the
    /// response. Redirects are not followed. What was sent, or partly, is never sent again.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] with [`FailureKind::Connection`] when the server cannot be reached or the connection breaks off.
    pub async fn send(
        &self,
        server: &ServerName,
        uri: &Uri,
        pool: &Arc<ConnectionPool>,
        mut request: Box<Request<Bytes>>,
    ) -> Result<Response<ResponseBody>> {
        write_yield::wait(request.body().len()).await;
        while let Some(connection) = pool.take() {
            match connection.send(request, pool).await {
                Ok(response) => return Ok(response),
                // The server had closed it in the meantime.
                Err(SendError::NotSent(back)) => request = back,
                Err(SendError::Broken(error)) => return Err(broke_off(server, &error)),
            }
        }
        let stream = self.shared.connect.connect(uri).await.map_err(|error| {
            let root = root(&*error).to_string();
            unreachable(server, format!("it cannot be reached ({root})"))
        })?;
        pool.sweep_later();
        match Connection::over(stream).send(request, pool).await {
            Ok(response) => Ok(response),
            Err(SendError::NotSent(_)) => Err(unreachable(
                server,
                "it cannot be reached (it closes the connection)".into(),
            )),
            Err(SendError::Broken(error)) => Err(broke_off(server, &error)),
        }
    }
}

fn unreachable(server: &ServerName, problem: String) -> Error {
    let failure = Failure::new(FailureKind::Connection, problem)
        .remedy("check that it runs and can be reached from here; then try again");
    Error::NotReady {
        what: "server",
        name: server.to_string(),
        failure,
    }
}

fn broke_off(server: &ServerName, error: &ConnectionError) -> Error {
    unreachable(server, format!("the connection broke off before it answered ({error})"))
}

/// The bottom of an error chain: without the URL, whose path or query may be a secret.
fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.shared.config)
            .field("connect", &self.shared.connect)
            .finish_non_exhaustive()
    }
}
