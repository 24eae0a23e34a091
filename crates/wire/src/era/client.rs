//! Detects the era of a client from one message and its headers.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Era, NamedVersion, ProtocolVersion};
use crate::{
    envelope::Message,
    error::{self, ErrorObject},
    header::{self, HeaderError},
    meta,
    method::Method,
    object::{self, ObjectError, RawObject},
};

/// How a client's message has to be served.
#[derive(Debug, Clone)]
pub enum ClientEra {
    /// Without a session; a session header is ignored.
    Modern(Box<ModernCall>),
    /// Within a session.
    Legacy {
        /// The version header; without one, [`ProtocolVersion::WITHOUT_HEADER`].
        version: Option<ProtocolVersion>,
        /// The members of params.
        params: RawObject,
    },
    /// The handshake that opens a legacy session.
    Initialize {
        /// The version that the client requests. The response names the same one if it is legacy and served, else the
        /// newest legacy one that is served.
        requested: NamedVersion,
    },
}

impl ClientEra {
    /// Returns the era.
    pub fn era(&self) -> Era {
        match self {
            Self::Modern(_) => Era::Modern,
            Self::Legacy { .. } | Self::Initialize { .. } => Era::Legacy,
        }
    }
}

/// A modern message, with the parts that had to be parsed to detect it.
#[derive(Debug, Clone)]
pub struct ModernCall {
    /// Its version, which is served.
    pub version: ProtocolVersion,
    /// The members of params.
    pub params: RawObject,
    /// Its `_meta`, which a notification may leave out.
    pub meta: RequestMeta,
}

/// The parts of a modern request's `_meta` that MCP defines, raw.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    /// All members.
    pub members: RawObject,
    /// The client's capabilities as a raw object; each request has them.
    pub capabilities: Option<Bytes>,
}

impl RequestMeta {
    /// Returns the client's name and version as raw JSON, as it states them: for display and logs only.
    pub fn client_info(&self) -> Option<&Bytes> {
        self.members.get(meta::CLIENT_INFO)
    }

    /// Returns the requested log level as raw JSON.
    pub fn log_level(&self) -> Option<&Bytes> {
        self.members.get(meta::LOG_LEVEL)
    }

    /// Returns the progress token as raw JSON.
    pub fn progress_token(&self) -> Option<&Bytes> {
        self.members.get(meta::PROGRESS_TOKEN)
    }
}

/// Why a client's message is refused whatever its method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EraError {
    /// A header is missing, malformed, or differs from the body.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// The params or their `_meta` lack a required member.
    #[error("{0}")]
    Params(&'static str),
    /// The version is not served.
    #[error("protocol version {requested:?} is not served")]
    Version {
        /// The versions that are served.
        supported: Box<[ProtocolVersion]>,
        /// The version that was requested.
        requested: Box<str>,
    },
    /// 2026-07-28 removed this method.
    #[error("method {0:?} was removed in this protocol version")]
    Removed(Method),
    /// A response was posted, which 2026-07-28 does not permit.
    #[error("a response cannot be posted in this protocol version")]
    Response,
}

impl EraError {
    /// Returns the HTTP status of the refusal.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Removed(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the JSON-RPC error of the refusal.
    pub fn object(&self) -> ErrorObject {
        match self {
            Self::Header(fault) => ErrorObject::header_mismatch(fault.to_string()),
            Self::Params(problem) => ErrorObject::invalid_params(*problem),
            Self::Version { supported, requested } => ErrorObject::unsupported_version(supported, requested),
            Self::Removed(method) => ErrorObject::method_not_found(method.as_str()),
            Self::Response => ErrorObject::new(error::INVALID_REQUEST, self.to_string()),
        }
    }
}

/// Detects how a message that came over HTTP has to be served. `served` has the versions of this endpoint, newest first.
///
/// Modern markers take precedence: a version header from 2026-07-28 on, or the version key in `_meta`. A modern message is
/// checked in the order of the specification: headers against body, `_meta`, version, method. One exception: a handshake
/// without a version in `_meta` counts as one whatever its header says, since that header is the client's mistake.
///
/// # Errors
///
/// [`EraError`], with the HTTP status and JSON-RPC error of the refusal.
pub fn detect_client(
    headers: &HeaderMap,
    message: &Message,
    served: &[ProtocolVersion],
) -> Result<ClientEra, EraError> {
    let in_header = header::version(headers)?;
    let body = Body::read(message)?;
    if !body.names_version() {
        if let Some(requested) = body.handshake(message) {
            return handshake(requested, served);
        }
        if !in_header.as_ref().is_some_and(NamedVersion::is_modern) {
            return legacy(in_header, message, body.params, served);
        }
    }
    modern(headers, in_header, message, body, served)
}

/// The parts of a message that its era is detected from.
struct Body {
    params: RawObject,
    meta: Option<Result<RawObject, ObjectError>>,
}

impl Body {
    fn read(message: &Message) -> Result<Self, EraError> {
        let params = match message.params() {
            None => RawObject::new(),
            Some(raw) => RawObject::parse_checked(raw).map_err(|_| EraError::Params("params hold a member twice"))?,
        };
        let meta = params.get(meta::META).map(RawObject::parse_checked);
        if let Some(Err(ObjectError::Duplicate(_))) = meta {
            return Err(EraError::Params("_meta holds a member twice"));
        }
        Ok(Self { params, meta })
    }

    fn version(&self) -> Option<&Bytes> {
        self.meta.as_ref()?.as_ref().ok()?.get(meta::PROTOCOL_VERSION)
    }

    fn names_version(&self) -> bool {
        self.version().is_some()
    }

    fn handshake(&self, message: &Message) -> Option<&Bytes> {
        match message {
            Message::Request(request) if request.method == Method::Initialize => self.params.get("protocolVersion"),
            _ => None,
        }
    }
}

fn handshake(requested: &Bytes, served: &[ProtocolVersion]) -> Result<ClientEra, EraError> {
    let Some(requested) = object::text(requested) else {
        return Err(EraError::Params("protocolVersion must be a string"));
    };
    let requested = NamedVersion::new(&requested);
    if served.iter().any(|version| version.era() == Era::Legacy) {
        Ok(ClientEra::Initialize { requested })
    } else {
        Err(unserved(&requested, served))
    }
}

fn legacy(
    version: Option<NamedVersion>,
    message: &Message,
    params: RawObject,
    served: &[ProtocolVersion],
) -> Result<ClientEra, EraError> {
    if message.method() == Some(&Method::Initialize) {
        return Err(EraError::Params("initialize needs a protocolVersion"));
    }
    let Some(version) = version else {
        // The session knows its version; a missing header does not contradict it.
        return if served.iter().any(|version| version.era() == Era::Legacy) {
            Ok(ClientEra::Legacy { version: None, params })
        } else {
            let meant = NamedVersion::Known(ProtocolVersion::WITHOUT_HEADER);
            Err(unserved(&meant, served))
        };
    };
    Ok(ClientEra::Legacy {
        version: Some(serve(&version, served)?),
        params,
    })
}

fn modern(
    headers: &HeaderMap,
    in_header: Option<NamedVersion>,
    message: &Message,
    body: Body,
    served: &[ProtocolVersion],
) -> Result<ClientEra, EraError> {
    let method = match message {
        Message::Response(_) => return Err(EraError::Response),
        Message::Request(request) => &request.method,
        Message::Notification(notification) => &notification.method,
    };
    // The specification leaves the headers of notification POSTs open: there, a header may be
    // missing, but not wrong.
    let strict = matches!(message, Message::Request(_));
    let in_body = body
        .version()
        .and_then(object::text)
        .map(|text| NamedVersion::new(&text));
    header::check_version(in_header.as_ref(), in_body.as_ref(), strict)?;
    header::check_mirrors(headers, method, &body.params, strict)?;
    let named = match (in_body, in_header) {
        (Some(named), _) => named,
        (None, Some(named)) if !strict => named,
        _ => return Err(EraError::Params("_meta must name the protocol version")),
    };
    let meta = request_meta(body.meta, strict)?;
    let version = serve(&named, served)?;
    if version.era() == Era::Legacy {
        return Err(unserved(&named, served));
    }
    if method.is_removed() {
        return Err(EraError::Removed(method.clone()));
    }
    Ok(ClientEra::Modern(Box::new(ModernCall {
        version,
        params: body.params,
        meta,
    })))
}

fn request_meta(meta: Option<Result<RawObject, ObjectError>>, strict: bool) -> Result<RequestMeta, EraError> {
    let members = match meta {
        Some(Ok(members)) => members,
        None if !strict => RawObject::new(),
        _ => return Err(EraError::Params("_meta must be an object")),
    };
    let capabilities = members.get(meta::CLIENT_CAPABILITIES).cloned();
    match &capabilities {
        Some(raw) if raw.starts_with(b"{") => {}
        None if !strict => {}
        _ => return Err(EraError::Params("_meta must hold the client's capabilities")),
    }
    Ok(RequestMeta { members, capabilities })
}

fn serve(named: &NamedVersion, served: &[ProtocolVersion]) -> Result<ProtocolVersion, EraError> {
    match named.known() {
        Some(version) if served.contains(&version) => Ok(version),
        _ => Err(unserved(named, served)),
    }
}

fn unserved(named: &NamedVersion, served: &[ProtocolVersion]) -> EraError {
    // It is echoed: no honest version is longer than this.
    let requested: String = named.as_str().chars().take(64).collect();
    EraError::Version {
        supported: served.into(),
        requested: requested.into(),
    }
}
