//! Calls that go on without their client: for legacy clients a lost connection is no cancellation (2025-11-25,
//! basic/transports), and they may still cancel by notification from another connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::{body::Body, reply::Rejection};

type Answer = Result<Response<Body>, Rejection>;

/// Work on an answer. Dropped before its end, it goes on among `tasks`, and so does the body of its answer.
#[derive(Debug)]
pub(crate) struct Outliving<F: Future<Output = Answer> + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
}

impl<F: Future<Output = Answer> + Send + 'static> Outliving<F> {
    pub(crate) fn new(work: F, tasks: &TaskTracker) -> Self {
        Self {
            work: Some(Box::pin(work)),
            tasks: tasks.clone(),
        }
    }
}

impl<F: Future<Output = Answer> + Send + 'static> Future for Outliving<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        let Some(work) = &mut this.work else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(work.as_mut().poll(cx));
        this.work = None;
        Poll::Ready(answer.map(|response| response.map(|body| body.outliving(&this.tasks))))
    }
}

impl<F: Future<Output = Answer> + Send + 'static> Drop for Outliving<F> {
    fn drop(&mut self) {
        let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) else {
            return;
        };
        let to_its_end = async move {
            if let Ok(response) = work.await {
                response.into_body().discard().await;
            }
        };
        self.tasks.spawn_on(to_its_end, &runtime);
    }
}
