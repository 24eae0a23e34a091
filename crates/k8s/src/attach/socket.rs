//! An attached WebSocket as a reader and a writer, which end when the connection does.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, api::AttachParams, client::Client, core::Request};
use portolan_core::{Failure, FailureKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::task::AbortOnDropHandle;

use super::{
    AttachConfig,
    frame::{self, Frame},
};
use crate::error::ApiError;

/// The capacity of the buffer in each direction, in bytes.
const BUFFER: usize = 64 << 10;

/// An open attachment. Dropping it closes the connection.
pub(super) struct AttachSocket {
    pub(super) end: ConnectionEnd,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// Why a connection ended, once it has.
#[derive(Clone, Default)]
pub(super) struct ConnectionEnd(Arc<Mutex<Option<Failure>>>);

/// When the first ping without a response was sent.
#[derive(Clone, Default)]
struct PendingPing(Arc<Mutex<Option<Instant>>>);

/// Attaches to a container. The first stream reads the server's output, the second writes its input.
///
/// # Errors
///
/// The failure of the connection; `Connection` if the pod is gone.
pub(super) async fn attach(
    client: &Client,
    namespace: &str,
    pod: &str,
    config: &AttachConfig,
) -> Result<(AttachSocket, DuplexStream, DuplexStream), Failure> {
    let request = Request::new(Pod::url_path(&(), Some(namespace)));
    // The standard error goes to the log of the container.
    let mut params = AttachParams::default()
        .stdin(true)
        .stdout(true)
        .stderr(false)
        .tty(false);
    params.container.clone_from(&config.container);
    let request = request
        .attach(pod, &params)
        .map_err(|error| Failure::new(FailureKind::Config, error.to_string()))?;
    let connection = match timeout(config.connect_timeout, client.connect(request)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(attach_error(error, &config.cluster)),
        Err(_) => return Err(ApiError::timed_out(&config.cluster, config.connect_timeout).to_failure()),
    };
    let (sink, source) = connection.into_stream().split();
    let (output, to_us) = tokio::io::duplex(BUFFER);
    let (input, from_us) = tokio::io::duplex(BUFFER);
    let (end, pending_ping) = (ConnectionEnd::default(), PendingPing::default());
    let reading = read(source, to_us, config.pong_timeout, end.clone(), pending_ping.clone());
    let writing = write(
        sink,
        from_us,
        config.ping_interval,
        config.write_timeout,
        end.clone(),
        pending_ping,
    );
    let socket = AttachSocket {
        end,
        _tasks: [reading.into(), writing.into()].map(|task: Task| AbortOnDropHandle::new(tokio::spawn(task.0))),
    };
    Ok((socket, output, input))
}

/// Converts the error of the API server, or of the kubelet behind it.
fn attach_error(error: kube::Error, cluster: &str) -> Failure {
    match ApiError::classify(error, cluster) {
        // The pod is gone or the container ended; there will be another one.
        ApiError::NotFound(message) | ApiError::Conflict(message) | ApiError::Rejected(message) => {
            Failure::new(FailureKind::Connection, format!("cannot attach to the pod: {message}"))
        }
        other => other.to_failure(),
    }
}

struct Task(futures_util::future::BoxFuture<'static, ()>);

impl<F: Future<Output = ()> + Send + 'static> From<F> for Task {
    fn from(task: F) -> Self {
        Self(Box::pin(task))
    }
}

/// Reads until the connection ends, or does not respond to a ping in time.
async fn read(
    mut source: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    mut output: DuplexStream,
    pong: Duration,
    end: ConnectionEnd,
    pending_ping: PendingPing,
) {
    loop {
        let message = match timeout(pong / 4, source.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return end.lost(&error.to_string()),
            Ok(None) => return end.lost("it was closed"),
            Err(_) if pending_ping.is_older_than(pong) => return end.lost("the other side does not answer"),
            Err(_) => continue,
        };
        pending_ping.clear();
        match Frame::parse(message) {
            Frame::Output(data) => {
                if output.write_all(&data).await.is_err() {
                    return;
                }
            }
            Frame::OutputEnded => return end.exited("its output ended"),
            Frame::Outcome(status) if status.is_success() => return end.exited("its container ended"),
            Frame::Outcome(status) => return end.lost(&status.message),
            Frame::Closed => return end.lost("it was closed"),
            Frame::Other => {}
        }
    }
}

/// Writes the input, and sends pings.
async fn write(
    mut sink: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    mut input: DuplexStream,
    ping: Duration,
    stall: Duration,
    end: ConnectionEnd,
    pending_ping: PendingPing,
) {
    let mut pings = interval(ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    let mut buffer = frame::input_buffer();
    loop {
        let message = tokio::select! {
            read = input.read_buf(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => Message::Binary(std::mem::replace(&mut buffer, frame::input_buffer()).freeze()),
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        let is_ping = message.is_ping();
        match timeout(stall, sink.send(message)).await {
            Ok(Ok(())) if is_ping => pending_ping.start(),
            Ok(Ok(())) => {}
            Ok(Err(error)) => return end.lost(&error.to_string()),
            Err(_) => return end.lost("the server does not read its input"),
        }
    }
}

impl ConnectionEnd {
    /// Returns why the connection ended.
    pub(super) fn failure(&self) -> Failure {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| lost("it was closed"))
    }

    fn lost(&self, why: &str) {
        self.set(lost(why));
    }

    fn exited(&self, how: &str) {
        self.set(Failure::new(FailureKind::Exited, format!("the server ended: {how}")));
    }

    /// Records the first cause; later ones follow from it.
    fn set(&self, failure: Failure) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(failure);
    }
}

impl PendingPing {
    fn start(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    fn clear(&self) {
        *self.lock() = None;
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.lock().is_some_and(|since| since.elapsed() >= age)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(why: &str) -> Failure {
    Failure::new(
        FailureKind::Connection,
        format!("the connection to its pod was lost: {why}"),
    )
}
