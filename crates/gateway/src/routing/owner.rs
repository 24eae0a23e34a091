//! Whose a resource is: told by its URI where that names the server, else by the lists of the servers.

use std::sync::Arc;

use futures_util::future::join_all;
use portolan_core::ResourceNaming;

use super::target::Place;
use crate::{
    request_context::RequestContext,
    service::Inner,
    upstream::{Listing, Resources, Templates},
    uris,
};

impl Inner {
    /// A list as it is known; asked for where it is not.
    async fn list_of<L: Listing>(&self, context: &RequestContext, (mount, mounted): Place<'_>) -> Option<Arc<L>> {
        if let Some(known) = mounted.upstream.known::<L>() {
            return Some(known);
        }
        let wanted = context.credential_for(mount, mounted);
        let credential = self.broker.credential(&wanted).await;
        let listed = mounted.upstream.listed::<L>(&credential.ok()?).await.ok()?;
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
        let lists = join_all(places.iter().map(|place| self.list_of::<Templates>(context, *place))).await;
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
        let mount = context.gateway.mount(server)?;
        let place = (mount, mount.resolve(&context.caller)?);
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
        let lists = join_all(places.iter().map(|place| self.list_of::<Templates>(context, *place))).await;
        let first = |has: fn(&Templates, &str) -> bool| {
            let has = |list: &Option<Arc<Templates>>| list.as_ref().is_some_and(|list| has(list, uri));
            lists.iter().position(has)
        };
        // A template that stands for anything also stands for the text of another.
        let owner = first(Templates::contains).or_else(|| first(Templates::matches));
        owner.map(|owner| places.swap_remove(owner))
    }

    /// The servers, in their order, that may have resources and of which this caller may read this one.
    fn with_resources<'a>(&self, context: &'a RequestContext, uri: &str) -> Vec<Place<'a>> {
        let places = context.places();
        places.filter(|place| self.may_have(context, *place, uri)).collect()
    }

    fn may_have(&self, context: &RequestContext, (mount, mounted): Place<'_>, own: &str) -> bool {
        let info = mounted.upstream.info();
        info.is_none_or(|info| info.offers("resources")) && self.allows_resource(context, mount, mounted, own)
    }
}
