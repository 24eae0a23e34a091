//! A command beside a server: its standard streams over a WebSocket through the API server.
//!
//! Not by kube's `AttachedProcess`: with it, output that ends by a lost connection is never told to end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, BytesMut};
use futures_util::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, api::AttachParams, core::Request};
use portolan_core::{Error, ExecStreams, Failure, FailureKind, InstallName, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::{deployment_state::DeploymentState, error::ApiError, name::CONTAINER};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// How it ended, as a `Status`.
const OUTCOME: u8 = 3;
/// With the number of a channel: it is closed. From version 5 of the protocol on.
const CLOSE: u8 = 255;

/// How much waits in each direction.
const BUFFER: usize = 64 * 1024;

/// Runs `command` in the newest pod that can be called.
pub(crate) async fn start(deployment: &DeploymentState, name: &InstallName, command: &[String]) -> Result<ExecStreams> {
    if command.is_empty() {
        return Err(Error::invalid("command", "is empty; name a program"));
    }
    let pod = deployment.callable().into_iter().next();
    let Some(pod) = pod.and_then(|pod| pod.metadata.name.clone()) else {
        return Err(Error::NotReady {
            what: "deployment",
            name: name.to_string(),
            failure: Failure::new(FailureKind::Starting, "no pod of it runs"),
        });
    };
    let params = AttachParams::default()
        .container(CONTAINER)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .tty(false);
    let request = Request::new(Pod::url_path(&(), Some(&deployment.namespace.client.namespace)));
    let request = request.exec(&pod, command, &params).map_err(|error| Error::Backend {
        backend: "Kubernetes",
        action: "run a command".into(),
        source: error.into(),
    })?;
    let connected = deployment
        .namespace
        .client
        .call_once(deployment.namespace.client.kube.connect(request))
        .await;
    let connection = connected.map_err(|error: ApiError| error.into_error("run a command"))?;
    let can_close = connection.supports_stream_close();
    let (mut sink, mut source) = connection.into_stream().split();
    let (stdin, mut to_pod) = tokio::io::duplex(BUFFER);
    let (stdout, mut from_pod) = tokio::io::duplex(BUFFER);
    let (stderr, mut errors) = tokio::io::duplex(BUFFER);
    let write = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.clear();
            buffer.put_u8(STDIN);
            match to_pod.read_buf(&mut buffer).await {
                Ok(0) | Err(_) if can_close => {
                    let _ = sink.send(Message::Binary(vec![CLOSE, STDIN].into())).await;
                    // The connection stays for the output.
                    return std::future::pending().await;
                }
                Ok(0) | Err(_) => return std::future::pending().await,
                Ok(_) => {}
            }
            if sink.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                return;
            }
        }
    };
    let read = async move {
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(mut bytes) = message else { continue };
            if bytes.is_empty() {
                continue;
            }
            let channel = bytes.split_to(1)[0];
            let written = match channel {
                STDOUT => from_pod.write_all(&bytes).await,
                STDERR => errors.write_all(&bytes).await,
                OUTCOME => {
                    let _ = errors.write_all(outcome(&bytes).as_bytes()).await;
                    break;
                }
                _ => Ok(()),
            };
            // Whoever reads no output may still want the errors, and the other way round.
            drop(written);
        }
    };
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            () = write => {}
            () = read => {}
        }
    }));
    let task = Arc::new(task);
    let held = |stream| ExecStream {
        stream,
        _task: task.clone(),
    };
    Ok(ExecStreams {
        stdin: Box::new(held(stdin)),
        stdout: Box::new(held(stdout)),
        stderr: Box::new(held(stderr)),
    })
}

/// Why a command could not be run, for its error output. Its exit code has no place there.
fn outcome(status: &[u8]) -> String {
    let Ok(status) = serde_json::from_slice::<kube::core::Status>(status) else {
        return String::new();
    };
    if status.is_success() || status.reason == "NonZeroExitCode" {
        return String::new();
    }
    format!("{}\n", status.message)
}

/// A stream that keeps the connection. It ends with the last of them.
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
