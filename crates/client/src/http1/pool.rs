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

/// Idle connections that are kept for one server.
const IDLE: usize = 256;
/// How long they are kept, where the server says nothing else.
pub(crate) const IDLE_FOR: Duration = Duration::from_secs(30);
/// How much sooner than the server they are given up: its end must not cross with a call, which would be lost.
const SOONER: Duration = Duration::from_secs(1);
/// Not in RFC 9112 any more, and what servers of Node.js say all the same, which wait for 5 s.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The idle connections to one server, and the buffer that all of them read into.
#[derive(Default)]
pub struct ConnectionPool {
    idle: Mutex<VecDeque<(Instant, Connection)>>,
    /// Closes what has been idle for long, also when the server is never called again.
    sweeper: OnceLock<AbortOnDropHandle<()>>,
    buffer: Mutex<BytesMut>,
}

impl ConnectionPool {
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
                    pool.put_buffer(BytesMut::new());
                }
            }))
        });
    }

    /// Keeps a connection until it is used again.
    pub(crate) fn put(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() >= IDLE {
            idle.pop_front();
        }
        idle.push_back((Instant::now(), connection));
    }

    /// What was read into last, and so is in the cache; nothing while another thread reads.
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

/// How long a connection may be idle of which an answer has these headers: `Keep-Alive: timeout=5`.
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
