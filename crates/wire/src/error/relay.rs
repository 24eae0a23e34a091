//! Maps an upstream's error to one for the client.

use super::{
    ErrorObject, HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CLIENT_CAPABILITY, RESOURCE_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION, URL_ELICITATION_REQUIRED,
};
use crate::{method::Method, object::RawObject, version::Era};

/// The mapping of an upstream's error, as far as its code decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorMapping {
    /// Send this error.
    Error(ErrorObject),
    /// -32042: the user has to visit a URL. A modern client gets `input_required`, a legacy one
    /// the error if it declared URL elicitation, else a tool error.
    NeedsUrl(ErrorObject),
    /// -32021: a capability was missing. If it is the client that lacks it, a modern client gets
    /// the error and a legacy one a tool error; if the gateway did not declare it, send
    /// [`hidden`](Self::hidden).
    LacksCapability(ErrorObject),
}

impl ErrorMapping {
    /// Returns the error to send if there is no better response.
    pub fn hidden(self) -> ErrorObject {
        match self {
            Self::Error(error) => error,
            Self::NeedsUrl(_) | Self::LacksCapability(_) => hide(),
        }
    }
}

/// Maps an upstream's error to one for a client of this era.
///
/// Codes that the gateway itself caused (-32020, -32022) are never passed on, nor are unknown codes of the ranges that the
/// specification reserves.
pub fn to_client(client: Era, method: &Method, error: ErrorObject) -> ErrorMapping {
    match error.code {
        HEADER_MISMATCH | UNSUPPORTED_PROTOCOL_VERSION => ErrorMapping::Error(hide()),
        MISSING_CLIENT_CAPABILITY => ErrorMapping::LacksCapability(error),
        URL_ELICITATION_REQUIRED => ErrorMapping::NeedsUrl(error),
        RESOURCE_NOT_FOUND if client == Era::Modern => recode(error, INVALID_PARAMS),
        INVALID_PARAMS if client == Era::Legacy && is_missing_resource(method, &error) => {
            recode(error, RESOURCE_NOT_FOUND)
        }
        RESOURCE_NOT_FOUND => ErrorMapping::Error(error),
        -32099..=-32020 => recode(error, INTERNAL_ERROR),
        // The legacy junk range: readable by legacy clients, not to be emitted to modern ones.
        -32019..=-32000 if client == Era::Modern => recode(error, INTERNAL_ERROR),
        _ => ErrorMapping::Error(error),
    }
}

/// Returns true for a missing resource: a modern server marks it by `data.uri` (SEP-2164).
fn is_missing_resource(method: &Method, error: &ErrorObject) -> bool {
    *method == Method::ResourcesRead
        && error
            .data
            .as_ref()
            .and_then(|data| RawObject::parse(data).ok())
            .is_some_and(|data| data.contains("uri"))
}

fn recode(error: ErrorObject, code: i64) -> ErrorMapping {
    ErrorMapping::Error(ErrorObject { code, ..error })
}

fn hide() -> ErrorObject {
    ErrorObject::internal("the upstream server and the gateway did not understand each other")
}
