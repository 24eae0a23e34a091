//! Speech with one run of a stdio server.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use portolan_core::{ChannelRequest, Exchange, Failure, ProtocolEra, ServerHandshake, ServerRequestPolicy};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    ProcessLimits, StdioChannel,
    dispatcher::{CallError, CallRef, RpcDispatcher, stopped},
    handshake::{Handshake, HandshakeOrder},
    inbound::Inbound,
    reader, writer,
};

/// Takes what a server writes that is no message, line by line.
pub type LogSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Speech with one run of a stdio server, over a reader and a writer: the pipes of a child, or a stream into a pod.
///
/// It owns both, splits lines, gives each call an id of its own, brings each answer to its caller, routes what the server
/// asks, and keeps deadlines. Whoever opens one shakes hands, puts it before a [`StdioChannel`], waits until it has
/// [`ended`](Self::ended) and closes it with the reason. Dropping it fails the calls under way as stopped.
pub struct Connection {
    dispatcher: Arc<RpcDispatcher>,
    /// The reader or the writer came to its end.
    silent: CancellationToken,
    server_requests: ServerRequestPolicy,
    reader: AbortOnDropHandle<()>,
    writer: Option<AbortOnDropHandle<()>>,
    _timer: AbortOnDropHandle<()>,
}

/// What may be decided about a [`Connection`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The bounds.
    pub limits: ProcessLimits,
    /// What the server may ask, and what is declared to it.
    pub server_requests: ServerRequestPolicy,
    /// The id of the first call; each later one has the next. Default: 1. Where the same run of a server was spoken with
    /// before, its late answers must not meet new calls: then this begins far from where it was.
    pub first_id: u64,
    /// Takes what is no message. Default: nobody.
    pub log: LogSink,
}

impl ConnectionConfig {
    /// The defaults with these bounds.
    pub fn new(limits: ProcessLimits, server_requests: ServerRequestPolicy) -> Self {
        Self {
            limits,
            server_requests,
            first_id: 1,
            log: Arc::new(|_| {}),
        }
    }
}

impl Connection {
    /// Begins to read and to write. Notifications outside of calls go to the listeners of `channel`.
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
        let silent = CancellationToken::new();
        let inbound = Inbound {
            limit: dispatcher.limits().line,
            dispatcher: dispatcher.clone(),
            log: config.log,
            notifications: channel.notifications.clone(),
            server_requests: config.server_requests,
        };
        let closing = silent.clone();
        let reader = own(async move {
            reader::read_messages(output, inbound).await;
            closing.cancel();
        });
        let (outgoing, closing) = (dispatcher.clone(), silent.clone());
        let writer = own(async move {
            // The server closed its input.
            let _ = writer::write(input, &outgoing).await;
            closing.cancel();
        });
        Self {
            _timer: own(keep_deadlines(dispatcher.clone())),
            dispatcher,
            silent,
            server_requests: config.server_requests,
            reader,
            writer: Some(writer),
        }
    }

    /// Shakes hands within `limit`. Where the era has to be found, the modern probe stays alone for `patience`.
    pub async fn handshake(
        &self,
        era: ProtocolEra,
        patience: Duration,
        limit: Duration,
    ) -> Result<ServerHandshake, Failure> {
        let opening = match era {
            ProtocolEra::Modern => HandshakeOrder::Modern,
            ProtocolEra::Legacy => HandshakeOrder::Legacy,
            ProtocolEra::Auto => HandshakeOrder::Probe,
        };
        let handshake = Handshake {
            dispatcher: &self.dispatcher,
            server_requests: self.server_requests,
            patience,
            deadline: Instant::now() + limit,
        };
        handshake.run(opening).await
    }

    /// Sends a request that fails at `deadline`. `Err` if this is closed or full: then nothing was sent.
    pub fn call(&self, request: &ChannelRequest, deadline: Instant) -> Result<Exchange, CallError> {
        let dispatched = self.dispatcher.call(request, deadline)?;
        Ok(Exchange::new(
            dispatched.events,
            CallRef::cancelled_on_drop(dispatched.handle),
        ))
    }

    /// Waits until the server's output or input is at its end.
    pub async fn ended(&self) {
        self.silent.cancelled().await;
    }

    /// Waits until no call is under way.
    pub async fn idle(&self) {
        self.dispatcher.idle().await;
    }

    /// Whether no call is under way.
    pub fn is_idle(&self) -> bool {
        self.dispatcher.is_idle()
    }

    /// Fails the calls under way with `failure`, and each later one.
    pub fn close(&self, failure: &Failure) {
        self.dispatcher.close(failure);
    }

    pub(crate) fn dispatcher(&self) -> &Arc<RpcDispatcher> {
        &self.dispatcher
    }

    /// Closes the server's input.
    pub(crate) fn hang_up(&mut self) {
        self.writer = None;
    }

    /// Waits until the server's output is read to its end.
    pub(crate) async fn drained(&mut self) {
        let _ = (&mut self.reader).await;
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

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionConfig")
            .field("limits", &self.limits)
            .field("asks", &self.server_requests)
            .field("first_id", &self.first_id)
            .finish_non_exhaustive()
    }
}

/// Fails calls whose time is over, without a timer for each.
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

pub(crate) fn own(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
