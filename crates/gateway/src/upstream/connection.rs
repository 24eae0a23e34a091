//! One connection to a server, driven by the call that uses it.
//!
//! Clients usually give each connection a task of its own, so that an answer wakes first that task and then the one that
//! waits for it. Here the call itself reads the socket, and what was read is passed on while it is still in the cache.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1::SendRequest},
    rt::{Read, Write},
};
use tokio_util::task::AbortOnDropHandle;

/// Idle connections that are kept for one server.
const IDLE: usize = 256;
/// How long they are kept, where the server says nothing else.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// How much sooner than the server they are given up: its end must not cross with a call, which would be lost.
const SOONER: Duration = Duration::from_secs(1);
/// Not in RFC 9112 any more, and what servers of Node.js say all the same, which wait for 5 s.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// A connection, and what drives it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    /// How long it may be idle, as the first answer has it.
    idle_for: Option<Duration>,
}

/// The idle connections to one server.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<VecDeque<(Instant, Connection)>>,
    /// Closes what has been idle for long, also when the server is never called again.
    sweeper: OnceLock<AbortOnDropHandle<()>>,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// Nothing was sent: the request may go through another connection.
    NotSent(Box<Request<Full<Bytes>>>),
    /// It was sent, or part of it.
    Broken(hyper::Error),
}

impl Connection {
    /// Shakes hands over `stream`.
    pub(crate) async fn open(stream: impl Read + Write + Unpin + Send + 'static) -> hyper::Result<Self> {
        let (sender, driver) = hyper::client::conn::http1::handshake(stream).await?;
        Ok(Self {
            sender,
            driver: Box::pin(driver),
            idle_for: None,
        })
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(
        mut self,
        request: Box<Request<Full<Bytes>>>,
        pool: &Arc<Pool>,
    ) -> Result<Response<Driven>, Unanswered> {
        let ready = std::future::poll_fn(|cx| {
            // An idle connection that its server has closed says so now.
            let ended = self.driver.as_mut().poll(cx).is_ready();
            match self.sender.poll_ready(cx) {
                Poll::Ready(Ok(())) if !ended => Poll::Ready(true),
                Poll::Pending if !ended => Poll::Pending,
                _ => Poll::Ready(false),
            }
        });
        if !ready.await {
            return Err(Unanswered::NotSent(request));
        }
        let mut sending = std::pin::pin!(self.sender.try_send_request(*request));
        let driver = &mut self.driver;
        let mut ended = false;
        let sent = std::future::poll_fn(|cx| {
            ended = ended || driver.as_mut().poll(cx).is_ready();
            sending.as_mut().poll(cx)
        });
        let response = sent.await.map_err(Unanswered::from)?;
        self.idle_for.get_or_insert_with(|| idle_for(response.headers()));
        let (pool, connection) = (pool.clone(), (!ended).then_some(self));
        Ok(response.map(|body| Driven { body, connection, pool }))
    }

    fn is_fresh(&self, since: Instant) -> bool {
        since.elapsed() < self.idle_for.unwrap_or(IDLE_FOR)
    }
}

/// How long a connection may be idle of which an answer has these headers: `Keep-Alive: timeout=5`.
fn idle_for(headers: &HeaderMap) -> Duration {
    let said = headers.get(KEEP_ALIVE).and_then(|value| value.to_str().ok());
    let seconds = said.and_then(|said| {
        said.split(',')
            .find_map(|part| part.trim().strip_prefix("timeout=")?.parse().ok())
    });
    seconds.map_or(IDLE_FOR, |seconds| {
        Duration::from_secs(seconds).saturating_sub(SOONER).min(IDLE_FOR)
    })
}

impl From<TrySendError<Request<Full<Bytes>>>> for Unanswered {
    fn from(mut fault: TrySendError<Request<Full<Bytes>>>) -> Self {
        match fault.take_message() {
            Some(request) => Self::NotSent(Box::new(request)),
            None => Self::Broken(fault.into_error()),
        }
    }
}

impl Pool {
    /// The connection that was used last, if there is an idle one.
    pub(crate) fn take(&self) -> Option<Connection> {
        let (since, connection) = self.lock().pop_back()?;
        connection.is_fresh(since).then_some(connection)
    }

    /// Sees to it that idle connections do not stay for ever.
    pub(crate) fn sweep_later(self: &Arc<Self>) {
        self.sweeper.get_or_init(|| {
            let pool = Arc::downgrade(self);
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(IDLE_FOR).await;
                    let Some(pool) = pool.upgrade() else { return };
                    pool.lock().retain(|(since, connection)| connection.is_fresh(*since));
                }
            }))
        });
    }

    fn put(&self, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.len() >= IDLE {
            idle.pop_front();
        }
        idle.push_back((Instant::now(), connection));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer, with the connection that it comes through. At its end the connection goes back to the pool;
/// dropped before, it is closed, which tells the server that nobody listens.
pub(crate) struct Driven {
    body: Incoming,
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl Driven {
    fn poll_driven(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let (Poll::Pending, Some(connection)) = (&frame, &mut self.connection) else {
            return frame;
        };
        if connection.driver.as_mut().poll(cx).is_ready() {
            self.connection = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// Gives the connection back, once it has nothing more to say.
    fn release(&mut self, cx: &mut Context<'_>) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if connection.driver.as_mut().poll(cx).is_pending() {
            self.pool.put(connection);
        }
    }
}

impl HttpBody for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(this.poll_driven(cx));
        match &frame {
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            Some(Err(_)) => this.connection = None,
            _ => this.release(cx),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // An answer without a body is never polled.
        if self.body.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            self.pool.put(connection);
        }
    }
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driven")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// How long a connection is kept after an answer with these headers; none if it is not used again at all.
    async fn kept(headers: &'static str) -> Option<Duration> {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let server = tokio::spawn(async move {
            let mut request = [0; 512];
            let _ = theirs.read(&mut request).await;
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok");
            let _ = theirs.write_all(answer.as_bytes()).await;
            std::future::pending::<()>().await;
        });
        let connection = Connection::open(TokioIo::new(ours)).await.expect("a connection");
        let pool = Arc::<Pool>::default();
        let answer = connection.send(Box::new(Request::new(Full::default())), &pool).await;
        let body = answer.ok().expect("an answer").into_body();
        body.collect().await.expect("a body");
        let idle = pool.take();
        server.abort();
        idle?.idle_for
    }

    #[tokio::test]
    async fn a_connection_is_given_up_before_its_server_ends_it() {
        for (headers, kept_for) in [
            ("", Some(IDLE_FOR)),
            ("keep-alive: timeout=5\r\n", Some(Duration::from_secs(4))),
            ("Keep-Alive: max=100, timeout=72\r\n", Some(IDLE_FOR)),
            ("keep-alive: timeout=1\r\n", None),
            ("keep-alive: timeout=0\r\n", None),
            ("keep-alive: timeout=soon\r\n", Some(IDLE_FOR)),
        ] {
            assert_eq!(kept(headers).await, kept_for, "{headers}");
        }
    }
}
