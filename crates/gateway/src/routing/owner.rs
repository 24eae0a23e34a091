//! Finds the server of a resource: by its URI if that names the server, otherwise by the servers' lists.

use std::sync::Arc;

use futures_util::future::join_all;
use portolan_client::{Listing, ResourceTemplates, Resources};
use portolan_core::ResourceNaming;
use portolan_wire::error::ErrorObject;

use super::{
    RequestContext, Resolver,
    target::{Denial, Place, TargetError},
    uris,
};

impl Resolver {
    /// Returns a cached list; the server is queried if there is none.
    async fn list_of<L: Listing>(&self, context: &RequestContext, place: Place<'_>) -> Option<Arc<L>> {
        let credential = self.credential(context, place, None).await.ok()?;
        let upstream = &place.0.upstream(place.1);
        let listed = match upstream.known::<L>(&credential) {
            Some(list) => list,
            None => upstream.list::<L>(&credential).await.ok()?,
        };
        Some(listed.items.clone())
    }

    /// Returns the servers that may have a resource, the most likely first: only the one that lists it, if any;
    /// otherwise those with a matching template, then the others.
    pub(super) async fn places_of<'a>(&self, context: &'a RequestContext, uri: &str) -> Vec<Place<'a>> {
        let mut places = self.with_resources(context, uri);
        if places.len() < 2 {
            return places;
        }
        let lists = join_all(places.iter().map(|place| self.list_of::<Resources>(context, *place))).await;
        if let Some(owner) = lists
            .iter()
            .position(|list| list.as_ref().is_some_and(|list| list.contains(uri)))
        {
            return vec![places.swap_remove(owner)];
        }
        let lists = join_all(
            places
                .iter()
                .map(|place| self.list_of::<ResourceTemplates>(context, *place)),
        )
        .await;
        let (mut likely, mut others) = (Vec::new(), Vec::new());
        for (place, list) in places.into_iter().zip(lists) {
            let is_likely = list.is_some_and(|list| list.matches(uri));
            if is_likely { &mut likely } else { &mut others }.push(place);
        }
        likely.append(&mut others);
        likely
    }

    /// Returns the server that a URI names and the server's own URI, if it may have resources and this caller may read
    /// this one.
    pub(crate) fn place_named<'a>(&self, context: &'a RequestContext, uri: &str) -> Option<(Place<'a>, String)> {
        let (server, own) = uris::split(uri)?;
        let route = context.gateway.route(server)?;
        let place = (route, route.install_for(&context.caller)?);
        self.may_have(context, place, &own).then(|| (place, own.into_owned()))
    }

    /// Returns the servers to subscribe at for changes of a resource: its owner, or all that may have it; each with
    /// the server's own URI.
    pub(crate) async fn watched_at<'a>(
        &self,
        context: &'a RequestContext,
        uri: &Arc<str>,
    ) -> Vec<(Place<'a>, Arc<str>)> {
        if context.gateway.spec.resource_naming == ResourceNaming::Prefix {
            return self.may_watch(context, uri);
        }
        match self.owner_of(context, uri).await {
            Some(owner) => vec![(owner, uri.clone())],
            None => self.may_watch(context, uri),
        }
    }

    /// Like [`watched_at`](Self::watched_at), without querying any server.
    pub(crate) fn may_watch<'a>(&self, context: &'a RequestContext, uri: &Arc<str>) -> Vec<(Place<'a>, Arc<str>)> {
        match context.gateway.spec.resource_naming {
            ResourceNaming::Prefix => {
                let named = self.place_named(context, uri);
                named.map(|(place, own)| (place, own.into())).into_iter().collect()
            }
            _ => {
                let places = self.with_resources(context, uri).into_iter();
                places.map(|place| (place, uri.clone())).collect()
            }
        }
    }

    /// Returns the owner of a resource or a template by the servers' lists; `None` if these do not decide it.
    pub(super) async fn owner_of<'a>(&self, context: &'a RequestContext, uri: &str) -> Option<Place<'a>> {
        let mut places = self.with_resources(context, uri);
        if places.len() == 1 {
            return places.pop();
        }
        let lists = join_all(places.iter().map(|place| self.list_of::<Resources>(context, *place))).await;
        let owner = lists
            .iter()
            .position(|list| list.as_ref().is_some_and(|list| list.contains(uri)));
        if let Some(owner) = owner {
            return Some(places.swap_remove(owner));
        }
        let lists = join_all(
            places
                .iter()
                .map(|place| self.list_of::<ResourceTemplates>(context, *place)),
        )
        .await;
        let first = |has: fn(&ResourceTemplates, &str) -> bool| {
            let has = |list: &Option<Arc<ResourceTemplates>>| list.as_ref().is_some_and(|list| has(list, uri));
            lists.iter().position(has)
        };
        // A template that matches everything also matches other templates.
        let owner = first(ResourceTemplates::contains).or_else(|| first(ResourceTemplates::matches));
        owner.map(|owner| places.swap_remove(owner))
    }

    /// Returns the servers that may have resources and of which this caller may read this one, in order.
    fn with_resources<'a>(&self, context: &'a RequestContext, uri: &str) -> Vec<Place<'a>> {
        let places = context.places();
        places.filter(|place| self.may_have(context, *place, uri)).collect()
    }

    fn may_have(&self, context: &RequestContext, place: Place<'_>, own: &str) -> bool {
        let info = place.0.upstream(place.1).info();
        let decision = || self.access().resource(context, place, own);
        info.is_none_or(|info| info.offers("resources")) && decision().is_some_and(|decision| decision.is_allowed())
    }

    /// Returns the error for a resource without a target: the caller may not read it, or `unknown`.
    pub(super) fn no_resource(&self, context: &RequestContext, uri: &str, unknown: ErrorObject) -> TargetError {
        let named = uris::split(uri).filter(|_| context.gateway.spec.resource_naming == ResourceNaming::Prefix);
        let mut places = context.places();
        let denied = places.find_map(|place| {
            let own = match &named {
                Some((server, own)) => (*server == place.0.server.name.as_str()).then_some(&**own)?,
                None => uri,
            };
            let decision = self.access().resource(context, place, own)?;
            (!decision.is_allowed()).then(|| (place, own.to_owned(), decision))
        });
        match denied {
            Some((place, own, decision)) => Denial::new(place, &own, decision, unknown).into(),
            None => unknown.into(),
        }
    }
}
