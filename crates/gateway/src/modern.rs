//! Clients of 2026-07-28: every request stands for itself.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_wire::{
    envelope::{self, Message},
    era::{Era, ModernCall, ProtocolVersion},
    error::{self, ErrorObject},
    meta,
    method::Method,
    object::{self, RawObject},
};

use crate::{
    body::Body,
    call::ToolCall,
    reply::{self, Rejection},
    service::Inner,
    visit::Visit,
    work::Work,
};

impl Inner {
    /// A message of a modern client.
    pub(crate) async fn serve_modern(
        self: &Arc<Self>,
        visit: &Arc<Visit>,
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
        let result = match request.method {
            Method::ToolsCall => {
                let call = ToolCall {
                    id: request.id,
                    params: call.params,
                    text,
                };
                let calling = Self::call_tool(self.clone(), visit.clone(), None, call);
                return Work::begin(calling, &self.bench, None).await;
            }
            Method::Discover => self.discover(visit),
            Method::ToolsList => Box::pin(self.list_tools(visit, Era::Modern, &call.params))
                .await
                .map_err(refuse)?,
            other => return Err(refuse(ErrorObject::method_not_found(other.as_str()))),
        };
        Ok(reply::json(StatusCode::OK, envelope::result(&request.id, &result)))
    }

    /// The `result` of `server/discover`.
    fn discover(&self, visit: &Visit) -> Bytes {
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(b"\"complete\""));
        result.set("supportedVersions", ProtocolVersion::list(&self.config.versions));
        result.set("capabilities", self.capabilities());
        if let Some(instructions) = &visit.gateway.spec.instructions {
            result.set("instructions", object::quote(instructions));
        }
        result.set("ttlMs", Bytes::from_static(b"0"));
        result.set("cacheScope", Bytes::from_static(b"\"private\""));
        let mut about = RawObject::new();
        about.set(meta::SERVER_INFO, self.server_info());
        result.set(meta::META, about.to_bytes());
        result.to_bytes()
    }

    /// What this gateway can do: the same for both eras.
    pub(crate) fn capabilities(&self) -> Bytes {
        Bytes::from_static(br#"{"tools":{}}"#)
    }

    /// Who answers.
    pub(crate) fn server_info(&self) -> Bytes {
        let mut info = RawObject::new();
        info.set("name", object::quote(&self.config.name));
        info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
        info.to_bytes()
    }
}
