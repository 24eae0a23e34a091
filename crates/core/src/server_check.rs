//! Checks of a server's fields and headers.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, HeaderValue};

use crate::{Delivery, Error, Field, Result, Source, Transport};

/// The headers that a server entry may not set, because they belong to the connection or to the protocol.
const RESERVED: [&str; 12] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks each header's name and value.
pub(crate) fn headers(headers: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in headers {
        header_name(name)?;
        HeaderValue::try_from(value.as_str()).map_err(|_| {
            Error::invalid(
                "headers",
                format!("the value of {name:?} has characters that no header may have"),
            )
        })?;
    }
    Ok(())
}

/// Checks the fields against each other and against the server's source.
pub(crate) fn fields(fields: &[Field], source: &Source) -> Result<()> {
    let mut keys = BTreeSet::new();
    for field in fields {
        if !keys.insert(&field.key) {
            return Err(Error::invalid(field.key.as_str(), "is asked for twice"));
        }
        if let Some(default) = &field.default {
            if field.secret {
                return Err(Error::invalid(
                    field.key.as_str(),
                    "is a secret, so it must not have a default",
                ));
            }
            field.check_answer(default)?;
        }
        delivery(field, source)?;
    }
    Ok(())
}

fn delivery(field: &Field, source: &Source) -> Result<()> {
    let key = field.key.as_str();
    match &field.delivery {
        Delivery::Header { .. } if source.transport() == Some(&Transport::Stdio) => Err(Error::invalid(
            key,
            "is sent as a header, but a stdio server has none; use Delivery::Env",
        )),
        Delivery::Header { name, prefix } => {
            header_name(name)?;
            HeaderValue::try_from(prefix.as_str())
                .map(drop)
                .map_err(|_| Error::invalid(key, "has a prefix with characters that no header may have"))
        }
        _ if source.transport().is_none() => Err(Error::invalid(
            key,
            "is given to a process at start, but a remote server has none; use Delivery::Header",
        )),
        Delivery::Env { name } if name.is_empty() || name.contains(['=', '\0']) => Err(Error::invalid(
            key,
            format!("{name:?} is not a valid name of an environment variable"),
        )),
        Delivery::File { name } if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) => {
            Err(Error::invalid(key, format!("{name:?} is not a plain file name")))
        }
        Delivery::Argument if field.secret => Err(Error::invalid(
            key,
            "is a secret, and process lists show arguments; use Delivery::Env or File",
        )),
        _ => Ok(()),
    }
}

/// Checks that a header of this name may be set: it belongs neither to the connection nor to the protocol.
pub(crate) fn header_name(name: &str) -> Result<()> {
    let parsed =
        HeaderName::try_from(name).map_err(|_| Error::invalid("headers", format!("{name:?} is not a header name")))?;
    if RESERVED.contains(&parsed.as_str())
        || parsed.as_str().starts_with("mcp-")
        || parsed.as_str().starts_with("proxy-")
    {
        return Err(Error::invalid(
            "headers",
            format!("{name:?} belongs to the connection or the protocol"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
