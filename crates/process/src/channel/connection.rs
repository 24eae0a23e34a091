//! Messages to and from one run of a stdio server.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use portolan_core::{ChannelRequest, Exchange, Failure, ProtocolEra, ServerHandshake, ServerRequestPolicy};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    connection_config::ConnectionConfig,
    dispatcher::{CallError, CallRef, RpcDispatcher, stopped},
    handshake::{Handshake, HandshakeOrder},
    inbound::Inbound,
    reader,
    stdio_channel::{Phase, Ready, StdioChannel},
    writer,
};

/// A JSON-RPC connection to one run of a stdio server, over a reader and a writer: the pipes of a child process, or a
/// stream into a pod.
///
/// It owns both, splits lines, gives each call an id of its own, delivers each response to its caller, routes the
/// server's own requests, and keeps deadlines. Its owner [performs the handshake](Self::handshake), hands it to a
/// [`StdioChannel`] by [`ready`](StdioChannel::ready), waits until it has [`ended`](Self::ended) and
/// [closes](Self::close) it with the reason. Dropping it fails the calls under way as stopped.
///
/// ```
/// use std::time::Duration;
/// use portolan_core::{Channel, ChannelRequest, ProtocolEra, RpcResponse, ServerRequestPolicy};
/// use portolan_process::{Connection, ConnectionConfig, ProcessLimits, StdioChannel};
/// use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, theirs) = tokio::io::duplex(4096);
/// // A server that returns an empty result for each request.
/// tokio::spawn(async move {
///     let (input, mut output) = tokio::io::split(theirs);
///     let mut lines = BufReader::new(input).lines();
///     while let Ok(Some(line)) = lines.next_line().await {
///         let Some((_, rest)) = line.split_once("\"id\":") else { continue };
///         let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
///         let response = format!(
///             "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{{}}}}}}\n"
///         );
///         output.write_all(response.as_bytes()).await.expect("an open stream");
///     }
/// });
///
/// let limits = ProcessLimits::default();
/// let channel = StdioChannel::new("example", &limits);
/// let (output, input) = tokio::io::split(ours);
/// let config = ConnectionConfig::new(limits, ServerRequestPolicy::default());
/// let connection = Connection::open(&channel, output, input, config);
/// let second = Duration::from_secs(1);
/// let handshake = connection.handshake(ProtocolEra::Legacy, second, second).await.expect("a legacy server");
/// channel.ready(&connection, handshake);
///
/// let exchange = channel.call(ChannelRequest::new("tools/list", None, second)).await?;
/// assert!(matches!(exchange.answer().await?, RpcResponse::Result(_)));
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    dispatcher: Arc<RpcDispatcher>,
    /// Cancelled when the reader or the writer came to its end.
    closed: CancellationToken,
    server_requests: ServerRequestPolicy,
    reader: AbortOnDropHandle<()>,
    writer: Option<AbortOnDropHandle<()>>,
    _timer: AbortOnDropHandle<()>,
}

impl Connection {
    /// Starts to read `output` and to write `input`. Notifications outside of calls go to the subscribers of `channel`.
    ///
    /// Both streams need tasks of their own, which end with the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open(
        channel: &StdioChannel,
        output: impl AsyncRead + Send + Unpin + 'static,
        input: impl AsyncWrite + Send + Unpin + 'static,
        config: ConnectionConfig,
    ) -> Self {
        let dispatcher = RpcDispatcher::new(channel.name.clone(), config.limits, config.first_id);
        let closed = CancellationToken::new();
        let inbound = Inbound {
            limit: dispatcher.limits().line,
            dispatcher: dispatcher.clone(),
            log: config.log,
            notifications: channel.notifications.clone(),
            server_requests: config.server_requests,
        };
        let closing = closed.clone();
        let reader = spawn_owned(async move {
            reader::read_messages(output, inbound).await;
            closing.cancel();
        });
        let (outgoing, closing) = (dispatcher.clone(), closed.clone());
        let writer = spawn_owned(async move {
            // An error means that the server closed its input.
            let _ = writer::write(input, &outgoing).await;
            closing.cancel();
        });
        Self {
            _timer: spawn_owned(keep_deadlines(dispatcher.clone())),
            dispatcher,
            closed,
            server_requests: config.server_requests,
            reader,
            writer: Some(writer),
        }
    }

    /// Performs the MCP handshake within `limit`: `server/discover` with a modern server, `initialize` with a legacy one.
    ///
    /// With [`ProtocolEra::Auto`] the modern probe is awaited alone for `patience`; after that, the legacy handshake is
    /// sent beside it and the first to succeed decides.
    ///
    /// # Errors
    ///
    /// - [`FailureKind::Timeout`](portolan_core::FailureKind::Timeout) if the server does not respond within `limit`;
    /// - [`FailureKind::Protocol`](portolan_core::FailureKind::Protocol) if it speaks no version of that era;
    /// - the failure of [`close`](Self::close), if the connection is closed meanwhile.
    pub async fn handshake(
        &self,
        era: ProtocolEra,
        patience: Duration,
        limit: Duration,
    ) -> Result<ServerHandshake, Failure> {
        let order = match era {
            ProtocolEra::Modern => HandshakeOrder::Modern,
            ProtocolEra::Legacy => HandshakeOrder::Legacy,
            ProtocolEra::Auto => HandshakeOrder::ProbeFirst,
        };
        let handshake = Handshake {
            dispatcher: &self.dispatcher,
            server_requests: self.server_requests,
            probe_patience: patience,
            deadline: Instant::now() + limit,
        };
        handshake.run(order).await
    }

    /// Sends a request whose exchange fails at `deadline`.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the connection is closed or at a limit; nothing was sent then.
    pub fn call(&self, request: &ChannelRequest, deadline: Instant) -> Result<Exchange, CallError> {
        let dispatched = self.dispatcher.call(request, deadline)?;
        Ok(Exchange::new(
            dispatched.events,
            CallRef::cancelled_on_drop(dispatched.handle),
        ))
    }

    /// Waits until the server has closed its output or its input.
    pub async fn ended(&self) {
        self.closed.cancelled().await;
    }

    /// Waits until no call is under way.
    pub async fn idle(&self) {
        self.dispatcher.idle().await;
    }

    /// Returns true if no call is under way.
    pub fn is_idle(&self) -> bool {
        self.dispatcher.is_idle()
    }

    /// Fails the calls under way, and each later one, with `failure`.
    pub fn close(&self, failure: &Failure) {
        self.dispatcher.close(failure);
    }

    pub(crate) fn dispatcher(&self) -> &Arc<RpcDispatcher> {
        &self.dispatcher
    }

    /// Closes the server's input.
    pub(crate) fn close_input(&mut self) {
        self.writer = None;
    }

    /// Waits until the server's output is read to its end.
    pub(crate) async fn drained(&mut self) {
        let _ = (&mut self.reader).await;
    }
}

// Here and not beside the other states, so that the channel does not depend on the connection.
impl StdioChannel {
    /// Sends calls through `connection` from now on, to a server whose handshake was `handshake`.
    pub fn ready(&self, connection: &Connection, handshake: ServerHandshake) {
        self.set(Phase::Ready(Arc::new(Ready {
            dispatcher: connection.dispatcher.clone(),
            handshake: Some(handshake),
        })));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.dispatcher.close(&stopped());
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("mailbox", &self.dispatcher)
            .finish_non_exhaustive()
    }
}

/// Fails calls at their deadlines, with one timer for all of them.
async fn keep_deadlines(dispatcher: Arc<RpcDispatcher>) {
    loop {
        let next = dispatcher.expire(Instant::now());
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = dispatcher.earlier() => {}
        }
    }
}

/// Spawns a task that is aborted when the returned handle is dropped.
pub(crate) fn spawn_owned(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
