//! The idle connections to one server.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName};
use tokio_util::task::AbortOnDropHandle;

use crate::http1::Connection;

/// The number of idle connections per server.
const IDLE: usize = 256;
/// How long a connection may be idle, if the server says nothing else.
pub(crate) const IDLE_FOR: Duration = Duration::from_secs(30);
/// How much earlier than the server a connection is closed, so that the server's close does not cross with a call.
const SOONER: Duration = Duration::from_secs(1);
/// Not in RFC 9112 any more, but sent by servers of Node.js, which close after 5 s.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The idle connections to one server, and their shared read buffer.
///
/// ```
/// use std::sync::Arc;
/// let pool = Arc::new(portolan_client::ConnectionPool::default());
/// ```
#[derive(Default)]
pub struct ConnectionPool {
    idle: Mutex<VecDeque<(Instant, Connection)>>,
    /// Closes idle connections, also if the server is never called again.
    sweeper: OnceLock<AbortOnDropHandle<()>>,
    buffer: Mutex<BytesMut>,
}

impl ConnectionPool {
    /// Returns the most recently used idle connection.
    pub(crate) fn take(&self) -> Option<Connection> {
        let (since, connection) = self.lock().pop_back()?;
        connection.is_fresh(since).then_some(connection)
    }

    /// Starts the task that closes idle connections.
    pub(crate) fn sweep_later(self: &Arc<Self>) {
        self.sweeper.get_or_init(|| {
            let pool = Arc::downgrade(self);
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(IDLE_FOR).await;
                    let Some(pool) = pool.upgrade() else { return };
                    pool.lock().retain(|(since, connection)| connection.is_fresh(*since));
                    pool.put_buffer(BytesMut::new());
                }
            }))
        });
    }

    /// Keeps a connection for the next call.
    pub(crate) fn put(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() >= IDLE {
            idle.pop_front();
        }
        idle.push_back((Instant::now(), connection));
    }

    /// Takes the buffer of the last read, which is in the cache; an empty one while another thread reads.
    pub(crate) fn take_buffer(&self) -> BytesMut {
        std::mem::take(&mut *self.buffer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn put_buffer(&self, buffer: BytesMut) {
        *self.buffer.lock().unwrap_or_else(PoisonError::into_inner) = buffer;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how long a connection may be idle after a response with these headers: `Keep-Alive: timeout=5`.
pub(crate) fn said_idle_for(headers: &HeaderMap) -> Duration {
    let said = headers.get(KEEP_ALIVE).and_then(|value| value.to_str().ok());
    let seconds = said.and_then(|said| {
        said.split(',')
            .find_map(|part| part.trim().strip_prefix("timeout=")?.parse().ok())
    });
    seconds.map_or(IDLE_FOR, |seconds| {
        Duration::from_secs(seconds).saturating_sub(SOONER).min(IDLE_FOR)
    })
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.lock().len())
    }
}
