//! Whose a resource is: told by its URI where that names the server, else by the lists of the servers.

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
    /// A list as it is known; the server is asked where it is not.
    async fn list_of<L: Listing>(&self, context: &RequestContext, place: Place<'_>) -> Option<Arc<L>> {
        let credential = self.credential(context, place, None).await.ok()?;
        let upstream = &place.1.upstream;
        let listed = match upstream.known::<L>(&credential) {
            Some(known) => known,
            None => upstream.list::<L>(&credential).await.ok()?,
        };
        Some(listed.items.clone())
    }

    /// The servers that may have a resource, the likeliest first: who lists it, alone; else those with a template for it,
    /// then the others.
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

    /// The server that a URI names, and the URI as it has it; if it may have it, and this caller may read it.
    pub(crate) fn place_named<'a>(&self, context: &'a RequestContext, uri: &str) -> Option<(Place<'a>, String)> {
        let (server, own) = uris::meant(uri)?;
        let route = context.gateway.route(server)?;
        let place = (route, route.resolve(&context.caller)?);
        self.may_have(context, place, &own).then(|| (place, own.into_owned()))
    }

    /// The servers that are asked to tell of changes of a resource: whose it is, or else all that may have it; each with the
    /// URI that it has for it.
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

    /// The same without asking anybody.
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

    /// Whose a resource or a template of some is, by what servers list; nobody's where that does not tell.
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
        // A template that stands for anything also stands for the text of another.
        let owner = first(ResourceTemplates::contains).or_else(|| first(ResourceTemplates::matches));
        owner.map(|owner| places.swap_remove(owner))
    }

    /// The servers, in their order, that may have resources and of which this caller may read this one.
    fn with_resources<'a>(&self, context: &'a RequestContext, uri: &str) -> Vec<Place<'a>> {
        let places = context.places();
        places.filter(|place| self.may_have(context, *place, uri)).collect()
    }

    fn may_have(&self, context: &RequestContext, place: Place<'_>, own: &str) -> bool {
        let info = place.1.upstream.info();
        let decision = || self.access().resource(context, place, own);
        info.is_none_or(|info| info.offers("resources")) && decision().is_some_and(|decision| decision.is_allowed())
    }

    /// Why a request for a resource goes nowhere: the caller may not read it, or `unknown`.
    pub(super) fn no_resource(&self, context: &RequestContext, uri: &str, unknown: ErrorObject) -> TargetError {
        let named = uris::meant(uri).filter(|_| context.gateway.spec.resource_naming == ResourceNaming::Prefix);
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
