//! A server that is reached through the owner of its pipes.

pub(crate) mod relay;

use std::{pin::pin, sync::Arc};

use portolan_core::{Channel, ChannelRequest, ExchangeEvent, Result, ServerHandshake, ServerSpec};
use portolan_wire::era::Era;

use self::relay::{ActiveExchange, ChannelRelay, event, message};
use crate::{
    calls::{
        events::Events,
        reply::{Reply, over_before_answer},
        steps::Step,
        timeout::CallTimeout,
    },
    client::Client,
    conversion::{self, Conversion},
    request::{Requester, UpstreamRequest},
    server_info::ServerInfoCell,
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
        let relay = ChannelRelay::new(first, held, conversion, timeout, question_time);
        Ok(Reply::Events(Events::channel(Box::new(relay))))
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
