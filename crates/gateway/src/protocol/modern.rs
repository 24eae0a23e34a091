//! Clients of 2026-07-28: every request stands for itself.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use portolan_wire::{
    envelope::{self, Message},
    era::{Era, ModernCall, ProtocolVersion},
    error::{self, ErrorObject},
    meta,
    method::Method,
    object::RawObject,
};

use crate::{
    body::Body,
    call::Call,
    call_future::CallFuture,
    reply::{self, Rejection},
    request_context::RequestContext,
    service::Inner,
    subscriptions, tasks,
};

impl Inner {
    /// A message of a modern client.
    pub(crate) async fn serve_modern(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        message: Message,
        call: ModernCall,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let Message::Request(request) = message else {
            // The core protocol has no notification from clients over HTTP; one is no harm.
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
                let call = Box::new(Call {
                    id: request.id,
                    method: request.method,
                    params: call.params,
                    text,
                    capabilities: call.meta.capabilities,
                    log,
                });
                let calling = Self::call(self.clone(), context.clone(), None, call);
                return CallFuture::begin(calling, &self.future_pool, None).await;
            }
            Method::Listen => {
                let knows_tasks = tasks::are_known(call.meta.capabilities.as_ref());
                return Box::pin(self.listen(context, &request.id, &call.params, knows_tasks)).await;
            }
            Method::Discover => self.discover(context),
            Method::ToolsList | Method::PromptsList | Method::ResourcesList | Method::ResourceTemplatesList => {
                let listing = self.list(context, call.version, &request.method, &call.params);
                Box::pin(listing).await.map_err(refuse)?
            }
            other => return Err(refuse(ErrorObject::method_not_found(other.as_str()))),
        };
        Ok(reply::of_our_own(
            &context.headers,
            envelope::result(&request.id, &result),
        ))
    }

    /// The `result` of `server/discover`.
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
        about.set(meta::SERVER_INFO, self.server_info());
        result.set(meta::META, about.to_bytes());
        result.to_bytes()
    }
}
