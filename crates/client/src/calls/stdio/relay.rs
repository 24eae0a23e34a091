//! An answer of a server behind a channel, on its way to a client.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use portolan_core::{BoxError, ChannelNotification, Error, Exchange, ExchangeEvent, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Outcome},
    era::Era,
    error::ErrorObject,
    method::Method,
    sse,
};
use tokio_util::task::TaskTracker;

use crate::{
    calls::{
        steps::Step,
        timeout::{CallTimeout, WaitError},
    },
    cancellation::DisconnectPolicy,
    conversion::{Conversion, Converted},
    server_requests::{ServerRequest, ServerRequestKey},
};

pub(super) fn message(answer: RpcResponse, conversion: &Conversion) -> Converted {
    let outcome = match answer {
        RpcResponse::Result(raw) => Outcome::Result(raw),
        RpcResponse::Error(raw) => Outcome::Error(raw),
    };
    conversion.message(&outcome)
}

/// Returns the event for a notification that belongs to a call.
pub(super) fn event(notification: &ChannelNotification, conversion: &Conversion) -> Option<Bytes> {
    let method = Method::parse(&notification.method);
    let belongs = match method {
        Method::Progress | Method::LogMessage => true,
        Method::TaskStatus => conversion.relays_task_status(),
        Method::ElicitationComplete => conversion.client == Some(Era::Legacy) && conversion.capabilities.has_url(),
        _ => false,
    };
    if !belongs {
        return None;
    }
    let message = envelope::notification(&method, notification.params.as_deref());
    Some(sse::event(&conversion.notification(message)?))
}

/// An exchange that goes on without its client where the client's era wants that.
#[derive(Debug)]
pub(super) struct ActiveExchange {
    pub(super) exchange: Option<Exchange>,
    pub(super) on_disconnect: DisconnectPolicy,
    pub(super) tasks: TaskTracker,
}

impl ActiveExchange {
    pub(super) async fn next(&mut self) -> Option<ExchangeEvent> {
        self.exchange.as_mut()?.next().await
    }

    /// Returns a server request that the client can handle; refuses others.
    pub(super) fn server_request(
        &self,
        asked: portolan_core::ServerRequest,
        conversion: &Conversion,
    ) -> Option<ServerRequest> {
        let method = Method::parse(&asked.method);
        if conversion.may_ask(&method, asked.params.as_ref()) {
            return Some(ServerRequest {
                key: ServerRequestKey::Channel(asked.key),
                method,
                params: conversion.related(asked.params),
            });
        }
        let refused = ErrorObject::method_not_found(method.as_str()).to_bytes();
        if let Some(exchange) = &self.exchange {
            exchange.respond(asked.key, RpcResponse::Error(refused));
        }
        None
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ExchangeEvent>> {
        match &mut self.exchange {
            Some(exchange) => exchange.poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for ActiveExchange {
    fn drop(&mut self) {
        // For legacy clients a lost connection is no cancellation (2025-11-25, basic/transports): the call goes on.
        if let DisconnectPolicy::CancelsIf(cancelled) = &self.on_disconnect
            && !cancelled.is_cancelled()
            && let Some(exchange) = self.exchange.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.tasks
                .spawn_on(async move { drop(exchange.answer().await) }, &runtime);
        }
    }
}

/// Relays notifications as they arrive, then the response.
#[derive(Debug)]
pub(crate) struct ChannelRelay {
    first: Option<Step>,
    held: ActiveExchange,
    pub(crate) conversion: Conversion,
    timeout: CallTimeout,
    question_time: Duration,
}

impl ChannelRelay {
    /// The relay of an answer that begins with `first`.
    pub(super) fn new(
        first: Step,
        held: ActiveExchange,
        conversion: Conversion,
        timeout: CallTimeout,
        question_time: Duration,
    ) -> Self {
        Self {
            first: Some(first),
            held,
            conversion,
            timeout,
            question_time,
        }
    }

    /// Sends the client's response to a server request.
    pub(crate) fn answer(&self, key: u64, answer: RpcResponse) {
        if let Some(exchange) = &self.held.exchange {
            exchange.respond(key, answer);
        }
    }

    fn finish(&mut self, said: Converted) -> Poll<Option<Result<Step, BoxError>>> {
        self.held.exchange = None;
        Poll::Ready(Some(Ok(match said {
            Converted::Message(message) | Converted::TaskRequired(message) => Step::Frame(sse::event(&message)),
            Converted::InputRequired(asked) => Step::InputRequired(asked),
            Converted::Task(task) => Step::Task(task),
        })))
    }

    fn fail(&mut self, error: &Error) -> Poll<Option<Result<Step, BoxError>>> {
        let message = self.conversion.failure(error);
        self.finish(Converted::Message(message))
    }

    /// Polls for the next step.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.held.exchange.is_none() {
            return Poll::Ready(None);
        }
        loop {
            match self.held.poll_next(cx) {
                Poll::Ready(Some(ExchangeEvent::Notification(notification))) => {
                    self.timeout.renew();
                    if let Some(event) = event(&notification, &self.conversion) {
                        return Poll::Ready(Some(Ok(Step::Frame(event))));
                    }
                }
                Poll::Ready(Some(ExchangeEvent::ServerRequest(asked))) => {
                    if let Some(server_request) = self.held.server_request(asked, &self.conversion) {
                        self.timeout.allow(self.question_time);
                        return Poll::Ready(Some(Ok(Step::ServerRequest(server_request))));
                    }
                }
                Poll::Ready(Some(ExchangeEvent::Response(Ok(answer)))) => {
                    let said = message(answer, &self.conversion);
                    return self.finish(said);
                }
                Poll::Ready(Some(ExchangeEvent::Response(Err(error)))) => return self.fail(&error),
                Poll::Ready(_) => {
                    let gone = self.conversion.protocol_error("its channel is closed");
                    return self.fail(&gone);
                }
                Poll::Pending => match std::task::ready!(self.timeout.poll(cx)) {
                    WaitError::Timeout(error) => return self.fail(&error),
                    WaitError::Cancelled => {
                        self.held.exchange = None;
                        return Poll::Ready(None);
                    }
                },
            }
        }
    }
}
