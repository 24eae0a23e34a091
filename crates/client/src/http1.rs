//! HTTP/1.1 connections to servers (RFC 9112), driven by the call that uses them.
//!
//! HTTP clients usually give each connection a task of its own, so that a response first wakes that task, and then the one
//! that waits for it. Here the call itself writes and reads, and passes on what it read while it is still in the cache.
//! `httparse` parses the heads.

pub(crate) mod body;
pub(crate) mod buffered_io;
pub(crate) mod framing;
pub(crate) mod gzip;
pub(crate) mod head;
pub(crate) mod pool;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(feature = "fuzzing"), allow(unreachable_pub, reason = "fuzz targets reach it"))]
pub(crate) mod test_io;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};

pub(crate) use self::{body::ResponseBody, pool::ConnectionPool};
use self::{
    buffered_io::{BufferedIo, Stream},
    framing::Framing,
    gzip::GzipDecoder,
    head::{Head, HeadReader},
    pool::{IDLE_FOR, said_idle_for},
};

/// A connection to a server.
pub(crate) struct Connection {
    io: BufferedIo,
    /// How long the connection may be idle, as the first response said.
    idle_for: Option<Duration>,
}

/// The reason why a request has no response.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No byte was sent: the request may be sent over another connection.
    NotSent(Box<Request<Bytes>>),
    /// The request was sent, at least in part.
    Broken(ConnectionError),
}

/// An error of a connection, or of a message on it.
#[derive(Debug)]
pub enum ConnectionError {
    /// Reading or writing failed.
    Io(io::Error),
    /// The server closed the connection before the head of a response.
    HungUp,
    /// The server closed the connection in the middle of a body.
    Incomplete,
    /// The head is not valid HTTP/1.
    Unread(httparse::Error),
    /// The head cannot be used.
    Head(&'static str),
    /// The content length is not one number.
    Length,
    /// The chunked encoding is not valid.
    Chunk,
    /// The body is compressed in a way that cannot be read, though no compression was asked for.
    Encoding,
}

impl Connection {
    /// Creates a connection over an open stream.
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self {
            io: BufferedIo::new(stream),
            idle_for: None,
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        mut self,
        request: Box<Request<Bytes>>,
        pool: &Arc<ConnectionPool>,
    ) -> Result<Response<ResponseBody>, SendError> {
        // Bytes before the request mean that the server closes, or cannot be trusted.
        let says_something = std::future::poll_fn(|cx| Poll::Ready(self.io.poll_read(cx, pool).is_ready()));
        if says_something.await {
            return Err(SendError::NotSent(request));
        }
        self.io.begin(head::write(&request), request.body().clone());
        let mut reader = HeadReader::default();
        let mut head = match std::future::poll_fn(|cx| self.poll_head(cx, pool, &mut reader)).await {
            Ok(head) => head,
            Err(_) if !self.io.has_sent => return Err(SendError::NotSent(request)),
            Err(fault) => return Err(SendError::Broken(fault)),
        };
        let (framing, stays) = Framing::of(&head).map_err(SendError::Broken)?;
        self.idle_for.get_or_insert_with(|| said_idle_for(&head.headers));
        let gzip = GzipDecoder::take(&mut head.headers).map_err(SendError::Broken)?;
        let mut response = Response::new(ResponseBody::new(self, framing, stays, pool).decoded(gzip));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Writes the request and reads the head of its response, which may arrive before all of it was written.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        pool: &ConnectionPool,
        reader: &mut HeadReader,
    ) -> Poll<Result<Head, ConnectionError>> {
        self.io.poll_write(cx);
        loop {
            if let Some(head) = reader.read(&mut self.io.arrived)? {
                return Poll::Ready(Ok(head));
            }
            if ready!(self.io.poll_read(cx, pool))? == 0 {
                return Poll::Ready(Err(ConnectionError::HungUp));
            }
        }
    }

    fn is_fresh(&self, since: Instant) -> bool {
        since.elapsed() < self.idle_for.unwrap_or(IDLE_FOR)
    }
}

impl From<io::Error> for ConnectionError {
    fn from(fault: io::Error) -> Self {
        Self::Io(fault)
    }
}

impl From<httparse::Error> for ConnectionError {
    fn from(fault: httparse::Error) -> Self {
        Self::Unread(fault)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(fault) => write!(f, "{fault}"),
            Self::HungUp => f.write_str("the server closed the connection"),
            Self::Incomplete => f.write_str("the server closed the connection in the middle of a response"),
            Self::Unread(fault) => write!(f, "the response is not HTTP/1.1: {fault}"),
            Self::Head(problem) => write!(f, "the head of the response {problem}"),
            Self::Length => f.write_str("invalid content-length"),
            Self::Chunk => f.write_str("invalid chunked encoding"),
            Self::Encoding => f.write_str("it is compressed, and cannot be decompressed; no compression was asked for"),
        }
    }
}

impl std::error::Error for ConnectionError {}
