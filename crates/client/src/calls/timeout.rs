//! How long a call is waited for.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use portolan_core::{Error, Result};
use portolan_wire::method::Method;
use tokio::time::{Instant, Sleep};

use crate::{cancellation::Cancellation, config::ClientTimeouts, request::UpstreamRequest};

/// Runs out when a server has been silent for too long, has taken too long in all, or the client has cancelled.
#[derive(Debug)]
pub(crate) struct CallTimeout {
    silence: Duration,
    total: Duration,
    since: Instant,
    /// When the server was last heard.
    heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    cancelled: Option<Cancellation>,
    /// When who waits is woken once before that, to look whether its client is to have a stream (`work.rs`).
    glance: Option<Instant>,
}

/// Why a wait ended.
#[derive(Debug)]
pub(crate) enum WaitError {
    /// Time ran out.
    Timeout(Error),
    /// The client cancelled.
    Cancelled,
}

impl CallTimeout {
    pub(crate) fn new(timeouts: &ClientTimeouts, cancelled: Option<&Cancellation>) -> Self {
        let now = Instant::now();
        Self {
            silence: timeouts.call,
            total: timeouts.call_total.max(timeouts.call),
            since: now,
            heard: now,
            timer: None,
            cancelled: cancelled.cloned(),
            // A legacy client's call can be cancelled, and no other.
            glance: cancelled.map(|_| now + timeouts.stream_after),
        }
    }

    /// With a request. `tasks/result` is silent until its task is over.
    pub(crate) fn of(request: &UpstreamRequest<'_>, timeouts: &ClientTimeouts) -> Self {
        let mut timeout = Self::new(timeouts, request.requester.cancelled());
        if *request.method == Method::TasksResult {
            timeout.silence = timeout.total;
        }
        timeout
    }

    /// Waits for `work`, or until patience runs out.
    ///
    /// `work` is pinned where it is: an async function that takes it by value has it twice, and every call pays for the size
    /// of what it may wait for.
    pub(crate) fn wait<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Result<T, WaitError>> {
        std::future::poll_fn(move |cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx).map(Err),
        })
    }

    /// The server has said something: silence begins anew. The total goes on.
    pub(crate) fn renew(&mut self) {
        if self.timer.is_none() {
            return;
        }
        self.heard = Instant::now();
        let at = self.next();
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(at);
        }
    }

    /// From now on silence may last this long: somebody was asked something.
    pub(crate) fn allow(&mut self, silence: Duration) {
        self.silence = self.silence.max(silence);
        self.renew();
    }

    /// Ready when patience has run out. The timer is made on the first poll that has to wait.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<WaitError> {
        if self
            .cancelled
            .as_ref()
            .is_some_and(|cancelled| cancelled.poll(cx).is_ready())
        {
            return Poll::Ready(WaitError::Cancelled);
        }
        if self.timer.is_none() {
            self.heard = Instant::now();
        }
        loop {
            let at = self.next();
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            std::task::ready!(timer.as_mut().poll(cx));
            if self.glance.take().is_none_or(|glance| glance >= self.deadline()) {
                return Poll::Ready(WaitError::Timeout(self.timeout()));
            }
            let at = self.next();
            if let Some(timer) = &mut self.timer {
                timer.as_mut().reset(at);
            }
        }
    }

    /// When the timer is due.
    fn next(&self) -> Instant {
        let deadline = self.deadline();
        self.glance.map_or(deadline, |glance| glance.min(deadline))
    }

    /// When patience has run out.
    fn deadline(&self) -> Instant {
        (self.heard + self.silence).min(self.since + self.total)
    }

    fn timeout(&self) -> Error {
        Error::Timeout {
            action: "the server's answer".into(),
            after: self.since.elapsed(),
        }
    }
}
