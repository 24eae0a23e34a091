//! What an upstream's error becomes on its way to a client.

use super::{
    ErrorObject, HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CLIENT_CAPABILITY, RESOURCE_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION, URL_ELICITATION_REQUIRED,
};
use crate::{era::Era, method::Method, object::RawObject};

/// An upstream's error, as far as the codes alone can decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorMapping {
    /// Send this.
    Error(ErrorObject),
    /// -32042: the user has to visit a URL. A modern client gets `input_required`, a legacy one
    /// the error if it declared URL elicitation, else a tool error.
    NeedsUrl(ErrorObject),
    /// -32021: a capability was missing. If it is the client that lacks it, a modern client gets
    /// the error and a legacy one a tool error; if the gateway forgot to declare it,
    /// [`hidden`](Self::hidden) is right.
    LacksCapability(ErrorObject),
}

impl ErrorMapping {
    /// The error to send when no better answer can be built.
    pub fn hidden(self) -> ErrorObject {
        match self {
            Self::Error(error) => error,
            Self::NeedsUrl(_) | Self::LacksCapability(_) => hide(),
        }
    }
}

/// Turns an upstream's error into one for a client of the given era.
///
/// Codes the gateway caused itself (-32020, -32022) are never visible, and no code of the ranges
/// the specification reserves passes unchecked.
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

/// A modern server tells a missing resource from other bad params by `data.uri` (SEP-2164).
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
