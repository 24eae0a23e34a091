//! The deadlines of a call.

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

/// Expires when a server has been silent for too long, when the call has taken too long in all, or when the client
/// cancels.
#[derive(Debug)]
pub(crate) struct CallTimeout {
    silence: Duration,
    total: Duration,
    since: Instant,
    /// When the server last sent something.
    heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    cancelled: Option<Cancellation>,
    /// When the waiting task is woken once before the deadline, so that its relay can begin a stream.
    glance: Option<Instant>,
}

/// The reason why a wait ended.
#[derive(Debug)]
pub(crate) enum WaitError {
    /// A deadline passed.
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
            // Only the calls of legacy clients can be cancelled by a message.
            glance: cancelled.map(|_| now + timeouts.stream_after),
        }
    }

    /// Returns the deadlines of a request. `tasks/result` is silent until its task has ended.
    pub(crate) fn of(request: &UpstreamRequest<'_>, timeouts: &ClientTimeouts) -> Self {
        let mut timeout = Self::new(timeouts, request.requester.cancelled());
        if *request.method == Method::TasksResult {
            timeout.silence = timeout.total;
        }
        timeout
    }

    /// Waits for `work`, at most until a deadline.
    ///
    /// `work` is pinned by the caller: an async function that took it by value would hold it twice, and each call pays for
    /// the size of its future.
    pub(crate) fn wait<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Result<T, WaitError>> {
        std::future::poll_fn(move |cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx).map(Err),
        })
    }

    /// Restarts the silence deadline: the server has sent something. The total goes on.
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

    /// Allows this much silence from now on, because somebody was asked something.
    pub(crate) fn allow(&mut self, silence: Duration) {
        self.silence = self.silence.max(silence);
        self.renew();
    }

    /// Is ready when a deadline has passed. The timer is created by the first poll that has to wait.
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

    /// Returns when the timer is due.
    fn next(&self) -> Instant {
        let deadline = self.deadline();
        self.glance.map_or(deadline, |glance| glance.min(deadline))
    }

    /// Returns when the earlier deadline passes.
    fn deadline(&self) -> Instant {
        (self.heard + self.silence).min(self.since + self.total)
    }

    fn timeout(&self) -> Error {
        Error::Timeout {
            action: "the server's response".into(),
            after: self.since.elapsed(),
        }
    }
}
