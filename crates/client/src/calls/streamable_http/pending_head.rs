//! The pending head of a response, while messages of the GET stream are relayed before it.

use std::{fmt, sync::Arc, task::Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use portolan_core::Result;

use crate::{
    collect::{self, is_events},
    http_server::HttpServer,
    http1::body::ResponseBody,
};

/// A response that has not begun.
pub(crate) struct PendingHead(BoxFuture<'static, Result<AnswerHead>>);

/// The head of a response.
pub(crate) enum AnswerHead {
    /// An event stream follows.
    Events(Box<ResponseBody>),
    /// One JSON text, complete.
    Whole(Bytes),
}

impl AnswerHead {
    /// Reads a response up to where its kind is known.
    async fn read(http: &HttpServer, response: Response<ResponseBody>) -> Result<Self> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK && is_events(&head.headers) {
            return Ok(Self::Events(Box::new(body)));
        }
        match collect::body(body, http.limits().held_bytes).await {
            // An error may come with any status.
            Ok(text) if head.status == StatusCode::OK || collect::outcome(&text).is_some() => Ok(Self::Whole(text)),
            _ => Err(http.refused_with(head.status)),
        }
    }
}

impl PendingHead {
    /// Waits for the head of the response that `sending` returns.
    pub(crate) fn new(http: Arc<HttpServer>, sending: BoxFuture<'static, Result<Response<ResponseBody>>>) -> Self {
        Self(Box::pin(async move { AnswerHead::read(&http, sending.await?).await }))
    }

    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<AnswerHead>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for PendingHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heading")
    }
}
