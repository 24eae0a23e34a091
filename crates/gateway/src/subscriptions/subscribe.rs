//! `resources/subscribe` and `resources/unsubscribe` of legacy clients.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::ResourceNaming;
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
    method::Method,
    object::{self, RawObject},
};

use super::Subscriber;
use crate::{reply, request_context::RequestContext, service::Inner, session::Session, uris};

/// The longest URI that is kept, as its server has it.
const LONGEST: usize = 2048;

impl Inner {
    /// Tells the session of changes of a resource from now on, on whichever replica its stream is.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let uri: Arc<str> = uri(context, params)?.into();
        let subscriber = self.listener_of(session, context);
        let most = self.config.limits.subscriptions;
        let mut wanted = session.subscriptions();
        if wanted.len() >= most && !wanted.contains(&uri) {
            let problem = format!("a session may subscribe to {most} resources");
            return Err(ErrorObject::invalid_params(problem));
        }
        wanted.insert(uri.clone());
        subscriber.want(wanted, session.level());
        let agreed = self
            .attach(&subscriber, &context.gateway, self.config.timeouts.list)
            .await;
        if let Err(refusal) = agreed.of(&uri) {
            subscriber.want(session.subscriptions(), session.level());
            self.attach(&subscriber, &context.gateway, Duration::ZERO).await;
            return Err(refused(&uri, refusal));
        }
        self.note(session, &subscriber, context, |state| state.uris.insert(uri.clone()))
            .await?;
        Ok(Bytes::from_static(b"{}"))
    }

    /// Tells the session no more of a resource. To end what there is not is no fault.
    pub(crate) async fn unsubscribe(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let uri: Arc<str> = uri(context, params)?.into();
        let subscriber = self.listener_of(session, context);
        self.note(session, &subscriber, context, |state| state.uris.remove(&uri))
            .await?;
        Ok(Bytes::from_static(b"{}"))
    }

    /// Changes what every replica knows of a session.
    pub(super) async fn note(
        self: &Arc<Self>,
        session: &Session,
        subscriber: &Arc<Subscriber>,
        context: &RequestContext,
        change: impl FnMut(&mut crate::session::State) -> bool,
    ) -> Result<(), ErrorObject> {
        let changed = self.sessions.change(session, change).await;
        let changed = changed.map_err(|error| {
            tracing::warn!(%error, "the state of a session cannot be kept");
            reply::error_object(&error)
        })?;
        subscriber.want(session.subscriptions(), session.level());
        if subscriber.is_dirty() {
            let (inner, subscriber, gateway) = (self.clone(), subscriber.clone(), context.gateway.clone());
            self.connector.tasks.spawn(async move {
                inner.attach(&subscriber, &gateway, Duration::ZERO).await;
            });
        }
        if changed {
            self.tell_replicas_of(session).await;
        }
        Ok(())
    }
}

fn uri(context: &RequestContext, params: &RawObject) -> Result<String, ErrorObject> {
    let uri = params.get("uri").and_then(object::text);
    let uri = uri.ok_or_else(|| ErrorObject::invalid_params("params.uri must be a string"))?;
    let length = match context.gateway.spec.resource_naming {
        ResourceNaming::Prefix => uris::meant(&uri).map_or(uri.len(), |(_, own)| own.len()),
        _ => uri.len(),
    };
    if length > LONGEST {
        return Err(ErrorObject::invalid_params(format!(
            "params.uri is longer than {LONGEST} bytes"
        )));
    }
    Ok(uri.into_owned())
}

/// What a legacy client is told when no server tells of a resource.
fn refused(uri: &str, refusal: ErrorObject) -> ErrorObject {
    match refusal.code {
        error::METHOD_NOT_FOUND => ErrorObject::method_not_found(Method::ResourcesSubscribe.as_str()),
        error::RESOURCE_NOT_FOUND | error::INVALID_PARAMS => ErrorObject::unknown_resource(uri, Era::Legacy),
        _ => error::to_client(Era::Legacy, &Method::ResourcesSubscribe, refusal).hidden(),
    }
}
