//! `resources/subscribe` and `resources/unsubscribe` of legacy clients.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_client::failure;
use portolan_core::ResourceNaming;
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
    method::Method,
    object::{self, RawObject},
};

use super::{Subscriber, Subscriptions};
use crate::{
    replicas::Notice,
    routing::{RequestContext, uris},
    sessions::{Session, SessionSubscriber, State},
};

/// The maximum length of a subscribed URI, in the server's form.
const MAX_URI: usize = 2048;

impl Subscriptions {
    /// Subscribes the session to a resource, on whichever replica its stream is.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let uri: Arc<str> = uri(context, params)?.into();
        let subscriber = self.session_subscriber(session, context);
        let limit = self.config.limits.subscriptions;
        let mut uris = session.subscriptions();
        if uris.len() >= limit && !uris.contains(&uri) {
            let problem = format!("a session may subscribe to {limit} resources");
            return Err(ErrorObject::invalid_params(problem));
        }
        uris.insert(uri.clone());
        subscriber.update(uris, session.conversation.level());
        let agreed = self
            .attach(&subscriber, &context.gateway, self.config.timeouts.list)
            .await;
        if let Err(refusal) = agreed.check(&uri) {
            subscriber.update(session.subscriptions(), session.conversation.level());
            self.attach(&subscriber, &context.gateway, Duration::ZERO).await;
            return Err(refused(&uri, refusal));
        }
        self.change(session, &subscriber, context, |state| state.uris.insert(uri.clone()))
            .await?;
        Ok(Bytes::from_static(b"{}"))
    }

    /// Unsubscribes the session from a resource. An unknown subscription is not an error.
    pub(crate) async fn unsubscribe(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let uri: Arc<str> = uri(context, params)?.into();
        let subscriber = self.session_subscriber(session, context);
        self.change(session, &subscriber, context, |state| state.uris.remove(&uri))
            .await?;
        Ok(Bytes::from_static(b"{}"))
    }

    /// Changes the shared state of a session, and notifies the other replicas.
    pub(super) async fn change(
        self: &Arc<Self>,
        session: &Session,
        subscriber: &Arc<Subscriber>,
        context: &RequestContext,
        change: impl FnMut(&mut State) -> bool,
    ) -> Result<(), ErrorObject> {
        let changed = self.sessions.change(session, change).await;
        let changed = changed.map_err(|error| {
            tracing::warn!(%error, "the state of a session cannot be stored");
            failure::error_object(&error)
        })?;
        subscriber.update(session.subscriptions(), session.conversation.level());
        if subscriber.is_dirty() {
            self.attach_later(subscriber, &context.gateway);
        }
        if changed {
            self.replicas.publish(&Notice::State(session.name())).await;
        }
        Ok(())
    }
}

fn uri(context: &RequestContext, params: &RawObject) -> Result<String, ErrorObject> {
    let uri = params.get("uri").and_then(object::text);
    let uri = uri.ok_or_else(|| ErrorObject::invalid_params("params.uri must be a string"))?;
    let length = match context.gateway.spec.resource_naming {
        ResourceNaming::Prefix => uris::split(&uri).map_or(uri.len(), |(_, own)| own.len()),
        _ => uri.len(),
    };
    if length > MAX_URI {
        return Err(ErrorObject::invalid_params(format!(
            "params.uri is longer than {MAX_URI} bytes"
        )));
    }
    Ok(uri.into_owned())
}

/// Converts the refusal of a subscription to an error for a legacy client.
fn refused(uri: &str, refusal: ErrorObject) -> ErrorObject {
    match refusal.code {
        error::METHOD_NOT_FOUND => ErrorObject::method_not_found(Method::ResourcesSubscribe.as_str()),
        error::RESOURCE_NOT_FOUND | error::INVALID_PARAMS => ErrorObject::unknown_resource(uri, Era::Legacy),
        _ => error::to_client(Era::Legacy, &Method::ResourcesSubscribe, refusal).hidden(),
    }
}
