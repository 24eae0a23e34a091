//! Client headers forwarded to servers: those configured for a gateway, except some that never are.

use http::{HeaderMap, HeaderName, header};

/// Returns whether a header may be forwarded at all. Credentials for the gateway, and headers of the connection or the
/// protocol, may not.
pub(crate) fn may_pass(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 17] = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::HOST,
        header::ORIGIN,
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::EXPECT,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("last-event-id"),
    ];
    let text = name.as_str();
    !NEVER.contains(name) && !text.starts_with("mcp-") && !text.starts_with("proxy-") && !text.starts_with("sec-")
}

/// Returns the headers of a request that are in `list`.
pub(crate) fn select(list: &[HeaderName], headers: &HeaderMap) -> HeaderMap {
    if list.is_empty() {
        return HeaderMap::new();
    }
    let found = list.iter().flat_map(|name| {
        headers
            .get_all(name)
            .iter()
            .map(move |value| (name.clone(), value.clone()))
    });
    let mut selected = HeaderMap::new();
    for (name, value) in found {
        selected.append(name, value);
    }
    selected
}
