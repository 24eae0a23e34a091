//! One authenticated request to one gateway.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Uri};
use portolan_core::{Caller, Naming, ResourceNaming};

use super::{Place, PublishedGateway};

/// An authenticated request: its gateway, its caller, its head.
#[derive(Debug)]
pub(crate) struct RequestContext {
    pub(crate) gateway: Arc<PublishedGateway>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    /// What the host put on the request.
    pub(crate) extensions: Extensions,
}

impl RequestContext {
    /// The servers that the caller reaches, each with the install that serves it, sorted by server name.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let routes = self.gateway.routes().iter();
        routes.filter_map(|route| Some((route, route.resolve(&self.caller)?)))
    }

    /// The server behind this gateway if it is the only one, assigned whole, and under its own names.
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
