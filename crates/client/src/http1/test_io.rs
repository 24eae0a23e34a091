//! A server that says what it was told to, whatever it is asked.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::{Method, Request};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http1::{Connection, SendError, pool::ConnectionPool};

/// The server's side of a connection: when it was sent something, it says `words`, so many bytes at a time, and hangs up.
#[derive(Debug)]
pub(crate) struct ScriptedStream {
    words: Bytes,
    step: usize,
    was_asked: bool,
    waiting: Option<Waker>,
}

/// What came of an answer.
#[derive(Debug, Eq, PartialEq)]
pub struct Received {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub is_whole: bool,
    /// Whether the connection is kept for another request.
    pub is_kept: bool,
}

impl ScriptedStream {
    pub(crate) fn new(words: &[u8], step: usize) -> Self {
        Self {
            words: Bytes::copy_from_slice(words),
            step: step.max(1),
            was_asked: false,
            waiting: None,
        }
    }
}

/// What is heard of a server that answers a small request so. `None` if it is no answer.
pub fn heard(words: &[u8], step: usize) -> Option<Received> {
    let pool = Arc::<ConnectionPool>::default();
    let mut request = Box::new(Request::new(Bytes::from_static(b"{}")));
    *request.method_mut() = Method::POST;
    let answer = Connection::over(ScriptedStream::new(words, step))
        .send(request, &pool)
        .now_or_never();
    let response = match answer.expect("a server that hangs up keeps nobody waiting") {
        Ok(response) => response,
        Err(SendError::Broken(_)) => return None,
        Err(SendError::NotSent(_)) => unreachable!("it takes every request"),
    };
    let status = response.status().as_u16();
    let mut answer = response.into_body();
    let (mut body, mut is_whole) = (Vec::new(), true);
    while let Some(frame) = answer.frame().now_or_never().expect("no waiting") {
        match frame {
            Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => is_whole = false,
        }
    }
    Some(Received {
        status,
        body,
        is_whole,
        is_kept: pool.take().is_some(),
    })
}

impl AsyncRead for ScriptedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.was_asked {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = self.step.min(self.words.len()).min(buffer.remaining());
        buffer.put_slice(&self.words[..count]);
        self.words.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedStream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.was_asked = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
