//! Clients of 2026-07-28: every request is independent.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use portolan_client::tasks;
use portolan_wire::{
    envelope::{self, Message},
    era::{Era, ModernCall, ProtocolVersion},
    error::{self, ErrorObject},
    meta,
    method::Method,
    object::RawObject,
};

use super::Protocol;
use crate::{
    body::Body,
    client_software::ClientSoftware,
    relay::{CallFuture, Relay},
    relay_request::ClientRequest,
    reply::{self, Rejection},
    routing::RequestContext,
    subscriptions,
};

impl Protocol {
    /// Handles a message of a modern client.
    pub(super) async fn serve_modern(
        &self,
        context: &Arc<RequestContext>,
        message: Message,
        call: ModernCall,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let Message::Request(request) = message else {
            // The core protocol has no client notifications over HTTP; they are accepted and ignored.
            return Ok(reply::accepted());
        };
        let id = Some(request.id.clone());
        let refuse =
            |error: ErrorObject| Rejection::new(error::http_status(error.code, Era::Modern), error).with_id(id.clone());
        let log = match call.meta.log_level() {
            None => None,
            asked => Some(subscriptions::level(asked).map_err(refuse)?),
        };
        let result = match request.method {
            Method::ToolsCall
            | Method::PromptsGet
            | Method::ResourcesRead
            | Method::Complete
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::Other(_) => {
                let call = Box::new(ClientRequest {
                    id: request.id,
                    method: request.method,
                    params: call.params,
                    text,
                    client: call.meta.client_info().cloned().map(ClientSoftware::Stated),
                    capabilities: call.meta.capabilities,
                    log,
                });
                let calling = || Relay::call(self.relay.clone(), context.clone(), None, call);
                return CallFuture::begin(&self.relay, calling, None).await;
            }
            Method::Listen => {
                let has_tasks = tasks::are_declared(call.meta.capabilities.as_ref());
                let listening = self.subscriptions.listen(context, &request.id, &call.params, has_tasks);
                return Box::pin(listening).await;
            }
            Method::Discover => self.discover(context),
            Method::ToolsList | Method::PromptsList | Method::ResourcesList | Method::ResourceTemplatesList => {
                let listing = self.lists.list(context, call.version, &request.method, &call.params);
                Box::pin(listing).await.map_err(refuse)?
            }
            other => return Err(refuse(ErrorObject::method_not_found(other.as_str()))),
        };
        Ok(reply::of_our_own(
            &context.headers,
            envelope::result(&request.id, &result),
        ))
    }

    /// Returns the `result` of `server/discover`.
    fn discover(&self, context: &RequestContext) -> Bytes {
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(b"\"complete\""));
        result.set("supportedVersions", ProtocolVersion::list(&self.config.versions));
        result.set("capabilities", self.capabilities(context, Era::Modern));
        if let Some(instructions) = self.instructions(context) {
            result.set("instructions", instructions);
        }
        result.set("ttlMs", Bytes::from_static(b"0"));
        result.set("cacheScope", Bytes::from_static(b"\"private\""));
        let mut about = RawObject::new();
        about.set(meta::SERVER_INFO, self.config.server_info());
        result.set(meta::META, about.to_bytes());
        result.to_bytes()
    }
}
