//! One authenticated request to one gateway.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, Uri};
use portolan_core::{Caller, Naming, ResourceNaming};

use super::{Place, PublishedGateway};
use crate::request_label::RequestLabel;

/// The header of W3C Trace Context.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// An authenticated request: its gateway, its caller, and its head.
#[derive(Debug)]
pub(crate) struct RequestContext {
    pub(crate) gateway: Arc<PublishedGateway>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    /// Extensions that the host application added.
    pub(crate) extensions: Extensions,
    /// The identifier of the request in logs and audit records.
    pub(crate) request_id: RequestLabel,
}

impl RequestContext {
    /// Returns the servers that the caller can reach, each with the install that serves it, sorted by server name.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let routes = self.gateway.routes().iter();
        routes.filter_map(|route| Some((&**route, route.install_for(&self.caller)?)))
    }

    /// Returns the only server of this gateway, if it is assigned whole and under its own names.
    pub(crate) fn sole_server(&self) -> Option<Place<'_>> {
        let mut places = self.places();
        let sole = places.next().filter(|(route, _)| route.is_whole())?;
        let spec = &self.gateway.spec;
        let as_it_is = spec.naming == Naming::Plain
            && spec.resource_naming == ResourceNaming::Plain
            && self.gateway.aliases.is_none();
        (places.next().is_none() && as_it_is).then_some(sole)
    }
}

/// Returns the `trace-id` of a `traceparent` header: 32 hexadecimal digits (W3C Trace Context 3.2.2.3).
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get(&TRACEPARENT)?.to_str().ok()?;
    let id = parent.split('-').nth(1)?;
    let is_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && id.bytes().any(|byte| byte != b'0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_id_is_read_from_traceparent() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", http::HeaderValue::from_static(value));
            trace_id(&headers).map(str::to_owned)
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(),
            Some(id)
        );
        assert_eq!(read("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(read("nonsense"), None);
    }
}
