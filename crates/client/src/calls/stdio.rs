//! A server that is reached through the owner of its pipes.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use portolan_core::{
    BoxError, Channel, ChannelNotification, ChannelRequest, Error, Exchange, ExchangeEvent, Result, RpcResponse,
    ServerHandshake, ServerSpec,
};
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
        reply::{Reply, over_before_answer},
        steps::{Events, Step},
        timeout::{CallTimeout, WaitError},
    },
    cancellation::DisconnectPolicy,
    client::Client,
    conversion,
    conversion::{Conversion, Converted},
    request::{Requester, UpstreamRequest},
    server_info::ServerInfoCell,
    server_requests::{ServerRequest, ServerRequestKey},
    session_ref::UpstreamSessionRef,
};

/// A server behind a channel.
pub(crate) struct ChannelServer<'a> {
    pub(crate) spec: &'a Arc<ServerSpec>,
    pub(crate) client: &'a Client,
    /// What the server says of itself.
    pub(crate) info: &'a ServerInfoCell,
    pub(crate) channel: &'a Arc<dyn Channel>,
}

impl ChannelServer<'_> {
    /// Sends a request through the channel and gives what comes back, in the client's era.
    pub(crate) async fn call(&self, request: &UpstreamRequest<'_>) -> Result<Reply> {
        let config = self.client.config();
        let mut timeout = CallTimeout::of(request, &config.timeouts);
        let handshake = match timeout.wait(pin!(self.channel.handshake())).await {
            Ok(handshake) => handshake?,
            Err(over) => return over_before_answer(over),
        };
        if self.info.get().is_none() {
            self.info.learn_handshake(&handshake);
        }
        let (channel_request, conversion) = self.prepare(request, &handshake);
        let exchange = match timeout.wait(pin!(self.channel.call(channel_request))).await {
            Ok(exchange) => exchange?,
            Err(over) => return over_before_answer(over),
        };
        let mut held = ActiveExchange {
            exchange: Some(exchange),
            on_disconnect: request.requester.on_disconnect(),
            tasks: self.client.background().clone(),
        };
        let question_time = config.timeouts.server_request;
        let first = loop {
            let next = timeout.wait(pin!(held.next())).await;
            match next {
                Err(over) => {
                    held.exchange = None;
                    return over_before_answer(over);
                }
                Ok(Some(ExchangeEvent::Response(answer))) => {
                    held.exchange = None;
                    return answer.map(|answer| message(answer, &conversion).into());
                }
                Ok(Some(ExchangeEvent::Notification(notification))) => {
                    timeout.renew();
                    if let Some(event) = event(&notification, &conversion) {
                        break Step::Frame(event);
                    }
                }
                Ok(Some(ExchangeEvent::ServerRequest(asked))) => {
                    if let Some(server_request) = held.server_request(asked, &conversion) {
                        timeout.allow(question_time);
                        break Step::ServerRequest(server_request);
                    }
                }
                Ok(_) => return Err(conversion.protocol_error("its owner is gone")),
            }
        };
        Ok(Reply::Events(Events::channel(ChannelRelay {
            first: Some(first),
            held,
            conversion,
            timeout,
            question_time,
        })))
    }

    /// The request as the owner of the pipes takes it, and what its answer becomes for the client.
    fn prepare(&self, request: &UpstreamRequest<'_>, handshake: &ServerHandshake) -> (ChannelRequest, Conversion) {
        let config = self.client.config();
        let era = if handshake.modern { Era::Modern } else { Era::Legacy };
        let params = conversion::params(request, era, &config.name);
        // Silence is watched here; the channel only has to know when to forget.
        let total = config.timeouts.call_total;
        let mut channel_request = ChannelRequest::new(request.method.as_str(), Some(params.to_bytes()), total);
        let mut conversion = Conversion::new(request, era, request.id.clone(), self.spec);
        conversion.capabilities = request.capabilities_at(era, config.may_suspend);
        let isolates = self.channel.isolates_conversations();
        if era == Era::Legacy {
            // Where conversations are isolated, whoever asks for a task later would ask another process.
            conversion.bind_tasks(|| (!isolates).then(|| UpstreamSessionRef::of_process(&handshake.version)));
            if !conversion.capabilities.is_none() {
                channel_request.requester_key = request.requester.conversation_key();
            }
        }
        if isolates {
            channel_request.conversation = request.requester.conversation_key();
            if let Requester::Legacy { conversation, .. } = request.requester {
                conversation.note_channel(self.channel);
            }
        }
        (channel_request, conversion)
    }
}

fn message(answer: RpcResponse, conversion: &Conversion) -> Converted {
    let outcome = match answer {
        RpcResponse::Result(raw) => Outcome::Result(raw),
        RpcResponse::Error(raw) => Outcome::Error(raw),
    };
    conversion.message(&outcome, None)
}

/// The event for a notification that belongs to a call.
fn event(notification: &ChannelNotification, conversion: &Conversion) -> Option<Bytes> {
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
struct ActiveExchange {
    exchange: Option<Exchange>,
    on_disconnect: DisconnectPolicy,
    tasks: TaskTracker,
}

impl ActiveExchange {
    async fn next(&mut self) -> Option<ExchangeEvent> {
        self.exchange.as_mut()?.next().await
    }

    /// What the server asks, if it may; else it is told so.
    fn server_request(&self, asked: portolan_core::ServerRequest, conversion: &Conversion) -> Option<ServerRequest> {
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
        // For legacy clients a lost connection is no cancellation (2025-11-25, basic/transports): the call runs on.
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

/// Notifications as they come, then the answer.
#[derive(Debug)]
pub(crate) struct ChannelRelay {
    first: Option<Step>,
    held: ActiveExchange,
    pub(crate) conversion: Conversion,
    timeout: CallTimeout,
    question_time: std::time::Duration,
}

impl ChannelRelay {
    /// Brings the server an answer.
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

    /// The next step towards the answer.
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
                    let gone = self.conversion.protocol_error("its owner is gone");
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
