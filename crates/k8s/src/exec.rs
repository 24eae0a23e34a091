//! Commands in the container of a server: their standard streams over a WebSocket through the API server.
//!
//! Does not use kube's `AttachedProcess`, whose output streams do not end when the connection is lost.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, api::AttachParams, core::Request};
use portolan_core::{Error, ExecStreams, Failure, FailureKind, InstallName, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::task::AbortOnDropHandle;

use crate::{deployment_state::DeploymentState, error::ApiError, name::CONTAINER};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// The channel of the outcome, a `Status`.
const OUTCOME: u8 = 3;
/// Closes the channel whose number follows; since version 5 of the protocol.
const CLOSE: u8 = 255;

/// The capacity of the buffer of each stream, in bytes.
const BUFFER: usize = 64 * 1024;

/// Runs `command` in the newest pod that can be called.
///
/// # Errors
///
/// [`Error::Invalid`] for an empty command; [`Error::NotReady`] if no pod runs; the error of the API call.
pub(crate) async fn start(deployment: &DeploymentState, name: &InstallName, command: &[String]) -> Result<ExecStreams> {
    if command.is_empty() {
        return Err(Error::invalid("command", "is empty; name a program"));
    }
    let pod = deployment.callable().into_iter().next();
    let Some(pod) = pod.and_then(|pod| pod.metadata.name.clone()) else {
        return Err(Error::NotReady {
            what: "deployment",
            name: name.to_string(),
            failure: Failure::new(FailureKind::Starting, "it has no running pod"),
        });
    };
    let params = AttachParams::default()
        .container(CONTAINER)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .tty(false);
    let request = Request::new(Pod::url_path(&(), Some(deployment.namespace.name())));
    let request = request
        .exec(&pod, command, &params)
        .map_err(|error| Error::backend("Kubernetes", "run a command", error))?;
    let client = &deployment.namespace.client;
    let connected = client.call_once(client.kube.connect(request)).await;
    let connection = connected.map_err(|error: ApiError| error.into_error("run a command"))?;
    let can_close = connection.supports_stream_close();
    let (sink, source) = connection.into_stream().split();
    Ok(streams(sink, source, can_close))
}

/// Starts the task that copies between the connection and the streams. It ends when the last stream is dropped.
fn streams(
    sink: impl Sink<Message> + Send + Unpin + 'static,
    source: impl Stream<Item = Result<Message, tungstenite::Error>> + Send + Unpin + 'static,
    can_close: bool,
) -> ExecStreams {
    let (stdin, to_pod) = tokio::io::duplex(BUFFER);
    let (stdout, from_pod) = tokio::io::duplex(BUFFER);
    let (stderr, errors) = tokio::io::duplex(BUFFER);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            () = write(sink, to_pod, can_close) => {}
            () = read(source, from_pod, errors) => {}
        }
    }));
    let task = Arc::new(task);
    let stream = |stream| ExecStream {
        stream,
        _task: task.clone(),
    };
    ExecStreams {
        stdin: Box::new(stream(stdin)),
        stdout: Box::new(stream(stdout)),
        stderr: Box::new(stream(stderr)),
    }
}

/// Copies the standard input to the connection. At its end, the connection stays open for the output.
async fn write(mut sink: impl Sink<Message> + Unpin, mut stdin: DuplexStream, can_close: bool) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.clear();
        buffer.put_u8(STDIN);
        match stdin.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => {
                if can_close {
                    let _ = sink.send(Message::Binary(vec![CLOSE, STDIN].into())).await;
                }
                return std::future::pending().await;
            }
            Ok(_) => {}
        }
        if sink.send(Message::Binary(buffer.split().freeze())).await.is_err() {
            return;
        }
    }
}

/// Copies the output and the errors from the connection, until the command ends.
async fn read(
    mut source: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    mut stdout: DuplexStream,
    mut stderr: DuplexStream,
) {
    while let Some(Ok(message)) = source.next().await {
        let Message::Binary(mut bytes) = message else { continue };
        if bytes.is_empty() {
            continue;
        }
        let channel = bytes.split_to(1)[0];
        let written = match channel {
            STDOUT => stdout.write_all(&bytes).await,
            STDERR => stderr.write_all(&bytes).await,
            OUTCOME => {
                let _ = stderr.write_all(outcome(&bytes).as_bytes()).await;
                break;
            }
            _ => Ok(()),
        };
        // A caller that dropped one stream may still read the other.
        drop(written);
    }
}

/// Returns why a command could not be run, for its error stream, which has no place for the exit code.
fn outcome(status: &[u8]) -> String {
    let Ok(status) = serde_json::from_slice::<kube::core::Status>(status) else {
        return String::new();
    };
    if status.is_success() || status.reason == "NonZeroExitCode" {
        return String::new();
    }
    format!("{}\n", status.message)
}

/// A stream that keeps the connection open. The connection closes with the last stream.
struct ExecStream {
    stream: DuplexStream,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl AsyncRead for ExecStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ExecStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
