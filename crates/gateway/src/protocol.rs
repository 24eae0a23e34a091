//! Handles the messages of both eras.

mod capabilities;
mod get;
mod legacy;
mod modern;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use portolan_wire::{
    envelope::Message,
    era::{self, ClientEra},
    object::RawObject,
};
use tokio_util::task::TaskTracker;

use crate::{
    body::Body, config::GatewayConfig, edge, lists::Lists, relay::Relay, replay::Replays, replicas::Replicas,
    reply::Rejection, routing::RequestContext, server_requests::ServerRequests, sessions::Sessions,
    subscriptions::Subscriptions, tasks::Tasks,
};

/// Answers the messages of authenticated clients.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) lists: Lists,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) server_requests: Arc<ServerRequests>,
    pub(crate) replays: Replays,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) background: TaskTracker,
}

impl Protocol {
    /// Answers a single message.
    pub(crate) async fn serve_message(
        &self,
        context: &Arc<RequestContext>,
        message: Message,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        edge::check_id(&message)?;
        let era = era::detect_client(&context.headers, &message, &self.config.versions).map_err(|fault| {
            // An error response must not reuse the id of a client's response.
            let id = message.id().filter(|_| matches!(message, Message::Request(_)));
            Rejection::from(fault).with_id(id.cloned())
        })?;
        match (era, message) {
            (ClientEra::Modern(call), message) => self.serve_modern(context, message, *call, text).await,
            (ClientEra::Initialize { requested }, Message::Request(request)) => {
                self.initialize(context, &request, &requested)
            }
            (ClientEra::Legacy { params, .. }, message) => self.serve_legacy(context, message, params, text).await,
            (ClientEra::Initialize { .. }, message) => {
                self.serve_legacy(context, message, RawObject::new(), text).await
            }
        }
    }
}
