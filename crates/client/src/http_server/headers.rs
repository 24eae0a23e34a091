//! The headers of requests to a server, prepared once: copying a map is cheaper than filling one, and a map with all keys
//! is cheaper than one that grows.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use portolan_core::{ServerSpec, UpstreamCredential};
use portolan_wire::{era::ProtocolVersion, header as mcp, method::Method, object::RawObject};

use crate::http_server::{HttpServer, open_session::OpenSession, sending};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const MODERN: HeaderValue = HeaderValue::from_static(ProtocolVersion::NEWEST.as_str());
/// Holds the place of a value that is set before sending.
const PLACE: HeaderValue = HeaderValue::from_static("");

/// The headers of requests to one server.
#[derive(Debug)]
pub(crate) struct Headers {
    /// The headers of the server's entry and of the protocol.
    bare: HeaderMap,
    /// As `bare`, with places for the headers of a session.
    in_session: HeaderMap,
    /// As `bare`, with the version and a place for the method of a modern request.
    modern: HeaderMap,
}

impl Headers {
    pub(crate) fn new(server: &ServerSpec, url: &url::Url) -> Self {
        let mut bare = HeaderMap::with_capacity(server.headers.len() + 9);
        for (name, value) in &server.headers {
            // The entry was validated when it was created.
            if let (Ok(name), Ok(value)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            ) {
                bare.insert(name, value);
            }
        }
        if let Some(host) = sending::host(url) {
            bare.insert(header::HOST, host);
        }
        bare.insert(header::CONTENT_TYPE, JSON);
        bare.insert(header::ACCEPT, BOTH);
        // Bytes pass as they are, so compressed ones would have to be decompressed here.
        bare.insert(header::ACCEPT_ENCODING, IDENTITY);
        let mut in_session = bare.clone();
        in_session.insert(mcp::PROTOCOL_VERSION, PLACE);
        in_session.insert(mcp::SESSION_ID, PLACE);
        let mut modern = bare.clone();
        modern.insert(mcp::PROTOCOL_VERSION, MODERN);
        modern.insert(mcp::METHOD, PLACE);
        Self {
            bare,
            in_session,
            modern,
        }
    }

    /// Returns the value of the server's entry or the protocol for this header.
    pub(crate) fn said(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.bare.get(name)
    }
}

impl HttpServer {
    /// Returns the headers of a request before the era is known.
    pub(crate) fn headers(&self, credential: &UpstreamCredential) -> HeaderMap {
        self.filled(&self.headers.bare, credential, &HeaderMap::new())
    }

    /// Returns the headers of a request in a session, with headers that are passed on for the client.
    pub(crate) fn headers_in(
        &self,
        open: &OpenSession,
        credential: &UpstreamCredential,
        passthrough: &HeaderMap,
    ) -> HeaderMap {
        let mut headers = self.filled(&self.headers.in_session, credential, passthrough);
        headers.insert(mcp::PROTOCOL_VERSION, open.version.clone());
        match &open.id {
            Some(id) => drop(headers.insert(mcp::SESSION_ID, id.clone())),
            None => drop(headers.remove(mcp::SESSION_ID)),
        }
        headers
    }

    /// Returns the headers of a modern request, with headers that are passed on for the client.
    pub(crate) fn headers_of(
        &self,
        method: &Method,
        params: &RawObject,
        credential: &UpstreamCredential,
        passthrough: &HeaderMap,
    ) -> HeaderMap {
        let mut headers = self.filled(&self.headers.modern, credential, passthrough);
        mcp::write_mirrors(&mut headers, method, params);
        headers
    }

    fn filled(&self, prepared: &HeaderMap, credential: &UpstreamCredential, passthrough: &HeaderMap) -> HeaderMap {
        let mut headers = prepared.clone();
        for (name, value) in passthrough {
            // The entry and the protocol take precedence.
            if !prepared.contains_key(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        crate::credential_headers::credential(&mut headers, self.endpoint.token.as_ref(), credential);
        headers
    }
}
