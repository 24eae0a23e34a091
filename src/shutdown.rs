//! The orderly end of a platform.

use std::{future::Future, time::Duration};

use portolan_core::Result;
use tokio::time::Instant;

use crate::Platform;

/// The part of the given time that is kept for ending child processes, at the most: twice the grace of
/// [`ProcessConfig`](crate::ProcessConfig).
const FOR_PROCESSES: Duration = Duration::from_secs(10);

impl Platform {
    /// Ends the platform in order within `within`: refuses new calls, lets calls under way finish, closes the streams of
    /// clients and those to servers, then ends what the runtime runs on this machine.
    ///
    /// When this returns no child process is left, no stream to a server is open, and no call was cut that could have
    /// ended in time; half of the time, at most 10 s, is kept for the processes, and more if the calls leave it. They end
    /// in order, all at once: closed inputs, `SIGTERM`, `SIGKILL`; some servers need 2 to 4 s for that, so give 10 s or
    /// more. What runs elsewhere, such as in a cluster, goes on. The platform cannot be used again; a second call returns
    /// soon.
    ///
    /// # Errors
    ///
    /// The error of a runtime that could not end something.
    pub async fn shutdown(&self, within: Duration) -> Result<()> {
        self.end(within - FOR_PROCESSES.min(within / 2), within).await
    }

    /// Ends it `within` that time, of which calls under way have `for_calls`.
    pub(crate) async fn end(&self, for_calls: Duration, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        self.background.end();
        self.gateway_service().shutdown(for_calls).await;
        let left = deadline.saturating_duration_since(Instant::now());
        self.orchestrator().parts().runtime.shutdown(left).await
    }

    /// Waits for `signal`, then shuts the platform down: the future that a server's graceful shutdown waits for.
    ///
    /// ```no_run
    /// # #[cfg(feature = "axum")]
    /// # async fn example(platform: portolan::Platform, listener: tokio::net::TcpListener, app: axum::Router) -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let end = platform.shutdown_on(portolan::stop_signal(), Duration::from_secs(10));
    /// axum::serve(listener, app).with_graceful_shutdown(end).await
    /// # }
    /// ```
    ///
    /// A runtime that could not end something is logged.
    pub fn shutdown_on(
        &self,
        signal: impl Future<Output = ()> + Send + 'static,
        within: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let platform = self.clone();
        async move {
            signal.await;
            if let Err(error) = platform.shutdown(within).await {
                tracing::warn!(%error, "the runtime could not end everything");
            }
        }
    }
}

/// Returns a future that waits until the process is asked to stop: SIGINT (Ctrl-C) or, on Unix, SIGTERM.
///
/// On Unix it listens from this call on: a signal that comes before the future is first polled is not lost, and kills
/// nothing. For a second signal, call it after the first one, as `async { stop_signal().await }` does.
///
/// # Panics
///
/// Outside of a tokio runtime.
#[cfg(any(feature = "serve", feature = "axum"))]
pub fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::interrupt()).ok(),
            signal(SignalKind::terminate()).ok(),
        )
    };
    async move {
        #[cfg(unix)]
        if let (Some(mut interrupted), Some(mut terminated)) = signals {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        drop(tokio::signal::ctrl_c().await);
    }
}
