//! Forwards a client's request to the replica that holds the call or stream it belongs to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method as Verb, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portolan_client::ConnectionPool;
use portolan_core::ServerName;
use portolan_wire::error::ErrorObject;

use super::{ReplicaLocation, Replicas};
use crate::{body::Body, reply::Rejection, routing::RequestContext};

/// Marks a forwarded request, so that a wrong address cannot cause a loop.
const FORWARDED: HeaderName = HeaderName::from_static("portolan-hop");

/// The maximum number of connection pools to other replicas.
const REPLICAS: usize = 64;

/// Connection pools to other replicas, by URL.
#[derive(Debug, Default)]
pub(crate) struct ReplicaPools(Mutex<HashMap<Box<str>, Arc<ConnectionPool>>>);

/// The replica cannot be reached, or no longer exists.
#[derive(Debug)]
pub(crate) struct ReplicaUnreachable;

impl ReplicaUnreachable {
    pub(crate) fn refusal(&self) -> Rejection {
        let error = ErrorObject::internal("the replica that waits for this response cannot be reached");
        Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl Replicas {
    /// Forwards a client's request unchanged, and relays the response.
    pub(crate) async fn forward(
        &self,
        context: &RequestContext,
        verb: Verb,
        location: &ReplicaLocation,
        text: Bytes,
    ) -> Result<Response<Body>, ReplicaUnreachable> {
        let url = location.url.as_deref().ok_or(ReplicaUnreachable)?;
        if context.headers.contains_key(FORWARDED) {
            return Err(ReplicaUnreachable);
        }
        let gateway = &context.gateway.spec.name;
        let uri: http::Uri = format!("{}/{gateway}", url.trim_end_matches('/'))
            .parse()
            .map_err(|_| ReplicaUnreachable)?;
        let target = uri
            .path_and_query()
            .ok_or(ReplicaUnreachable)?
            .as_str()
            .parse()
            .map_err(|_| ReplicaUnreachable)?;
        let mut request = Request::new(text);
        *request.method_mut() = verb;
        *request.uri_mut() = target;
        // The client's headers include its credentials and the host, which the other replica checks as this one did.
        *request.headers_mut() = context.headers.clone();
        let headers = request.headers_mut();
        for name in [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
            header::EXPECT,
        ] {
            headers.remove(name);
        }
        headers.insert(FORWARDED, HeaderValue::from_static("1"));
        let Ok(name) = ServerName::parse("replica") else {
            return Err(ReplicaUnreachable);
        };
        let pool = self.pools.pool(url);
        let sent = self.client.send(&name, &uri, &pool, Box::new(request));
        let response = match tokio::time::timeout(self.timeout, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(%error, "another replica cannot be reached");
                return Err(ReplicaUnreachable);
            }
            Err(_) => return Err(ReplicaUnreachable),
        };
        let (mut head, body) = response.into_parts();
        for name in [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
            header::DATE,
        ] {
            head.headers.remove(name);
        }
        Ok(Response::from_parts(head, Body::relayed(body.map_err(Into::into))))
    }
}

impl ReplicaPools {
    fn pool(&self, url: &str) -> Arc<ConnectionPool> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= REPLICAS && !pools.contains_key(url) {
            pools.clear();
        }
        pools.entry(url.into()).or_default().clone()
    }
}
