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

use super::Listener;
use crate::{reply, service::Inner, session::Session, uris, visit::Visit};

/// The longest URI that is kept, as its server has it.
const LONGEST: usize = 2048;

impl Inner {
    /// Tells the session of changes of a resource from now on, on whichever replica its stream is.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        visit: &Visit,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let uri: Arc<str> = uri(visit, params)?.into();
        let listener = self.listener_of(session, visit);
        let most = self.config.limits.subscriptions;
        let mut wanted = session.subscriptions();
        if wanted.len() >= most && !wanted.contains(&uri) {
            let problem = format!("a session may subscribe to {most} resources");
            return Err(ErrorObject::invalid_params(problem));
        }
        wanted.insert(uri.clone());
        listener.want(wanted, session.level());
        let agreed = self.attach(&listener, &visit.gateway, self.config.timeouts.list).await;
        if let Err(refusal) = agreed.of(&uri) {
            listener.want(session.subscriptions(), session.level());
            self.attach(&listener, &visit.gateway, Duration::ZERO).await;
            return Err(refused(&uri, refusal));
        }
        self.note(session, &listener, visit, |state| state.uris.insert(uri.clone()))
            .await?;
        Ok(Bytes::from_static(b"{}"))
    }

    /// Tells the session no more of a resource. To end what there is not is no fault.
    pub(crate) async fn unsubscribe(
        self: &Arc<Self>,
        visit: &Visit,
        session: &Arc<Session>,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let uri: Arc<str> = uri(visit, params)?.into();
        let listener = self.listener_of(session, visit);
        self.note(session, &listener, visit, |state| state.uris.remove(&uri))
            .await?;
        Ok(Bytes::from_static(b"{}"))
    }

    /// Changes what every replica knows of a session.
    pub(super) async fn note(
        self: &Arc<Self>,
        session: &Session,
        listener: &Arc<Listener>,
        visit: &Visit,
        change: impl FnMut(&mut crate::session::State) -> bool,
    ) -> Result<(), ErrorObject> {
        let changed = self.sessions.change(session, change).await;
        let changed = changed.map_err(|error| {
            tracing::warn!(%error, "the state of a session cannot be kept");
            reply::error_object(&error)
        })?;
        listener.want(session.subscriptions(), session.level());
        if listener.is_dirty() {
            let (inner, listener, gateway) = (self.clone(), listener.clone(), visit.gateway.clone());
            self.connector.tasks.spawn(async move {
                inner.attach(&listener, &gateway, Duration::ZERO).await;
            });
        }
        if changed {
            self.tell_replicas_of(session).await;
        }
        Ok(())
    }
}

fn uri(visit: &Visit, params: &RawObject) -> Result<String, ErrorObject> {
    let uri = params.get("uri").and_then(object::text);
    let uri = uri.ok_or_else(|| ErrorObject::invalid_params("params.uri must be a string"))?;
    let length = match visit.gateway.spec.resource_naming {
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
