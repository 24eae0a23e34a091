//! From one replica to another: a client's request is handed on to the one in which something waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method as Verb, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use portolan_core::ServerName;
use portolan_wire::error::ErrorObject;

use super::token::Place;
use crate::{body::Body, reply::Rejection, service::Inner, upstream::Pool, visit::Visit};

/// Says that a request was handed on already, so that it is not handed on in circles when addresses are wrong.
const HOP: HeaderName = HeaderName::from_static("portolan-hop");

/// Other replicas to which connections are kept.
const REPLICAS: usize = 64;

/// Connections to other replicas.
#[derive(Debug, Default)]
pub(crate) struct Hops(Mutex<HashMap<Box<str>, Arc<Pool>>>);

/// Nothing waits any more, or it cannot be reached.
#[derive(Debug)]
pub(crate) struct Lost;

impl Lost {
    pub(crate) fn refusal(&self) -> Rejection {
        let error = ErrorObject::internal("who asked cannot be reached any more");
        Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl Inner {
    /// Hands a client's request on as it came, and gives what the other replica answers, as it comes.
    pub(crate) async fn hop(
        &self,
        visit: &Visit,
        verb: Verb,
        place: &Place,
        text: Bytes,
    ) -> Result<Response<Body>, Lost> {
        let url = place.url.as_deref().ok_or(Lost)?;
        if visit.headers.contains_key(HOP) {
            return Err(Lost);
        }
        let gateway = &visit.gateway.spec.name;
        let uri: http::Uri = format!("{}/{gateway}", url.trim_end_matches('/'))
            .parse()
            .map_err(|_| Lost)?;
        let target = uri.path_and_query().ok_or(Lost)?.as_str().parse().map_err(|_| Lost)?;
        let mut request = Request::new(text);
        *request.method_mut() = verb;
        *request.uri_mut() = target;
        // The client's own, also its credentials and the host that it called: the other replica checks them as this one did.
        *request.headers_mut() = visit.headers.clone();
        let headers = request.headers_mut();
        for name in [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
            header::EXPECT,
        ] {
            headers.remove(name);
        }
        headers.insert(HOP, HeaderValue::from_static("1"));
        let Ok(name) = ServerName::parse("replica") else {
            return Err(Lost);
        };
        let pool = self.questions.hops.pool(url);
        let sent = self.connector.send(&name, &uri, &pool, Box::new(request));
        let response = match tokio::time::timeout(self.config.timeouts.call, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(%error, "another replica cannot be reached");
                return Err(Lost);
            }
            Err(_) => return Err(Lost),
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

impl Hops {
    fn pool(&self, url: &str) -> Arc<Pool> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= REPLICAS && !pools.contains_key(url) {
            pools.clear();
        }
        pools.entry(url.into()).or_default().clone()
    }
}
