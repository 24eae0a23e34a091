//! The state that all servers of one client share: configuration, connector, background work.

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

/// An MCP client of either era. Each [`UpstreamServer`](crate::UpstreamServer) belongs to one.
///
/// Clones share everything. Background work ends with [`end`](Self::end).
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    connect: Arc<dyn Connect>,
    tasks: TaskTracker,
    /// The tasks that follow servers, until their feed or the client ends.
    streams: TaskTracker,
    /// Cancelled when the client ends; stops endless work.
    ended: CancellationToken,
}

impl Client {
    /// Creates a client that connects by TCP and TLS ([`TcpConnect`]).
    ///
    /// ```
    /// use portolan_client::{Client, ClientConfig};
    /// let client = Client::new(ClientConfig::default());
    /// ```
    pub fn new(config: ClientConfig) -> Self {
        let connect = TcpConnect::new(config.timeouts.connect);
        Self::with_connect(config, Arc::new(connect))
    }

    /// Creates a client that opens connections with `connect`: a connector of the host, or a [`TcpConnect`] with
    /// [a TLS configuration](TcpConnect::with_tls).
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    /// use portolan_client::{
    ///     BoxError, Client, ClientConfig, Connect, Io, TcpConnect, Tools, UpstreamCredential, UpstreamServer, Uri,
    /// };
    /// # use portolan_fixtures::http::{HttpFixture, Options};
    ///
    /// /// Counts the connections of another connector.
    /// #[derive(Debug)]
    /// struct Counting(TcpConnect, AtomicUsize);
    ///
    /// #[async_trait::async_trait]
    /// impl Connect for Counting {
    ///     async fn connect(&self, uri: &Uri) -> Result<Box<dyn Io>, BoxError> {
    ///         self.1.fetch_add(1, Ordering::Relaxed);
    ///         self.0.connect(uri).await
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fixture = HttpFixture::start(Options::default()).await?;
    /// # let url = fixture.url();
    /// let config = ClientConfig::default();
    /// let connect = Arc::new(Counting(TcpConnect::new(config.timeouts.connect), AtomicUsize::new(0)));
    /// let client = Client::with_connect(config, connect.clone());
    /// let server = UpstreamServer::at_url(&client, url)?;
    /// server.list::<Tools>(&Arc::new(UpstreamCredential::none())).await?;
    /// // Connections are kept open, so all requests used the same one.
    /// assert_eq!(connect.1.load(Ordering::Relaxed), 1);
    /// # Ok(())
    /// # }
    /// ```
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

    /// Returns the configuration.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Returns the tracker of short work that outlives a call, such as the sending of a cancellation.
    pub fn background(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// Returns the token that is cancelled when this client ends.
    pub fn ended(&self) -> &CancellationToken {
        &self.shared.ended
    }

    /// Ends the background work: following servers, refreshing lists.
    pub fn end(&self) {
        self.shared.ended.cancel();
    }

    /// Ends this client, and waits until its streams and their sessions are closed and its background work is done.
    pub async fn closed(&self) {
        self.end();
        self.shared.streams.close();
        self.shared.tasks.close();
        // A stream that ends spawns the end of its session.
        self.shared.streams.wait().await;
        self.shared.tasks.wait().await;
    }

    /// Returns the tracker of the tasks that follow servers.
    pub(crate) fn streams(&self) -> &TaskTracker {
        &self.shared.streams
    }

    /// Sends an HTTP request to the server at `uri`, over a connection of `pool` or a new one, and waits for the head of
    /// the response. Redirects are not followed. A request of which any byte was sent is never sent again.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] of kind [`FailureKind::Connection`] if the server cannot be reached or the connection breaks
    /// off.
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
                // The server had closed the idle connection.
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

/// Returns the bottom of an error chain, which is without the URL: its path or query may be a secret.
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
