//! The client software of a request.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;

/// Bytes that are kept of a name.
const NAME: usize = 128;

/// The client software of a request, as the client states it: for audit records and logs only.
#[derive(Clone, Debug)]
pub(crate) enum ClientSoftware {
    /// The name in the handshake of a session.
    Named(Arc<str>),
    /// The `clientInfo` of a modern request. It is read only where a record needs it, since it comes with each request.
    Stated(Bytes),
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl ClientSoftware {
    /// Returns the name, cut to a bounded length.
    pub(crate) fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Named(name) => Some(Cow::Borrowed(name)),
            Self::Stated(info) => name_in(info),
        }
    }
}

/// Returns the name in a `clientInfo`, cut to a bounded length.
pub(crate) fn name_in(info: &[u8]) -> Option<Cow<'_, str>> {
    // serde would also take the members of an array for those of the object.
    if !info.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Info { name } = serde_json::from_slice(info).ok()?;
    Some(match name {
        Cow::Borrowed(name) => Cow::Borrowed(&name[..name.floor_char_boundary(NAME)]),
        Cow::Owned(mut name) => {
            name.truncate(name.floor_char_boundary(NAME));
            Cow::Owned(name)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_read_from_client_info() {
        let name = |info: &str| name_in(info.as_bytes()).map(Cow::into_owned);
        assert_eq!(
            name(r#"{"version":"1","name":"inspector"}"#).as_deref(),
            Some("inspector")
        );
        assert_eq!(name(r#"{"name":"a\"b","icons":[{}]}"#).as_deref(), Some("a\"b"));
        let odd = [
            r#"{"name":7}"#,
            r#"{"version":"1"}"#,
            r#"["x"]"#,
            "null",
            r#"{"name":"one","name":"two"}"#,
        ];
        for info in odd {
            assert_eq!(name(info), None, "{info}");
        }
    }

    #[test]
    fn long_name_is_cut() {
        let info = format!(r#"{{"name":"{}"}}"#, "ä".repeat(NAME));
        assert_eq!(name_in(info.as_bytes()).unwrap().len(), NAME);
        let escaped = format!(r#"{{"name":"\n{}"}}"#, "x".repeat(NAME));
        assert_eq!(ClientSoftware::Stated(escaped.into()).name().unwrap().len(), NAME);
    }
}
