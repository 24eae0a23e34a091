//! Connections to servers: HTTP/1.1 from the client's side (RFC 9112), driven by the call that uses it.
//!
//! Clients usually give each connection a task of its own, so that an answer wakes first that task and then the one that
//! waits for it. Here the call itself writes and reads, and what was read is passed on while it is still in the cache. What
//! is read is parsed by `httparse`.

pub(crate) mod body;
pub(crate) mod buffered_io;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod pool;
#[cfg(any(test, feature = "fuzzing"))]
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
    head::{Head, HeadReader},
    pool::{IDLE_FOR, said_idle_for},
};

/// A connection to a server.
pub(crate) struct Connection {
    io: BufferedIo,
    /// How long it may be idle, as the first answer has it.
    idle_for: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Nothing was sent: the request may go through another connection.
    NotSent(Box<Request<Bytes>>),
    /// It was sent, or part of it.
    Broken(ConnectionError),
}

/// What is wrong with a connection, or with what came over it.
#[derive(Debug)]
pub enum ConnectionError {
    Io(io::Error),
    /// The server hung up before the head of an answer was there.
    HungUp,
    /// The server hung up in the middle of an answer's body.
    Incomplete,
    /// The head of the answer is no HTTP/1.
    Unread(httparse::Error),
    /// The head of the answer is of no use.
    Head(&'static str),
    /// The answer says more than one length, or none that is a number.
    Length,
    /// The chunks of the answer are none.
    Chunk,
}

impl Connection {
    /// A connection over a stream that is open.
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self {
            io: BufferedIo::new(stream),
            idle_for: None,
        }
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(
        mut self,
        request: Box<Request<Bytes>>,
        pool: &Arc<ConnectionPool>,
    ) -> Result<Response<ResponseBody>, SendError> {
        // What a server says before it is asked is its end, or nothing that could be trusted.
        let says_something = std::future::poll_fn(|cx| Poll::Ready(self.io.poll_read(cx, pool).is_ready()));
        if says_something.await {
            return Err(SendError::NotSent(request));
        }
        self.io.begin(head::write(&request), request.body().clone());
        let mut reader = HeadReader::default();
        let head = match std::future::poll_fn(|cx| self.poll_head(cx, pool, &mut reader)).await {
            Ok(head) => head,
            Err(_) if !self.io.has_sent => return Err(SendError::NotSent(request)),
            Err(fault) => return Err(SendError::Broken(fault)),
        };
        let (framing, stays) = Framing::of(&head).map_err(SendError::Broken)?;
        self.idle_for.get_or_insert_with(|| said_idle_for(&head.headers));
        let mut response = Response::new(ResponseBody::new(self, framing, stays, pool));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Writes the request and reads the head of its answer, which may come before all of it was written.
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
            Self::HungUp => f.write_str("the server hung up"),
            Self::Incomplete => f.write_str("the server hung up in the middle of it"),
            Self::Unread(fault) => write!(f, "it is not HTTP/1.1: {fault}"),
            Self::Head(problem) => write!(f, "its head {problem}"),
            Self::Length => f.write_str("its content-length is no length"),
            Self::Chunk => f.write_str("its chunks are none"),
        }
    }
}

impl std::error::Error for ConnectionError {}
