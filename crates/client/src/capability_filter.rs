//! Removes capabilities that a server may not use.

use bytes::Bytes;
use portolan_core::ServerSpec;
use portolan_wire::object::RawObject;

/// Returns the capabilities that a modern client declared without those that this server may not use; `None` if it may use
/// all.
pub fn capability_filter(declared: Option<&Bytes>, server: &ServerSpec) -> Option<Bytes> {
    // Most clients declare none.
    let declared = declared.filter(|raw| raw.len() > 2)?;
    let mut capabilities = RawObject::parse_checked(declared).ok()?;
    let policy = &server.server_requests;
    let mut changed = false;
    for (capability, allowed) in [
        ("elicitation", policy.elicitation),
        ("sampling", policy.sampling),
        ("roots", policy.roots),
    ] {
        changed |= !allowed && capabilities.remove(capability).is_some();
    }
    changed.then(|| capabilities.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_of_nothing_that_it_may_not_ask() {
        let server = ServerSpec::remote("up", "http://localhost/mcp").expect("a server");
        let capability_filter = |text: &str| capability_filter(Some(&Bytes::copy_from_slice(text.as_bytes())), &server);
        assert_eq!(capability_filter("{}"), None);
        assert_eq!(capability_filter(r#"{"elicitation":{"url":{}},"x":1}"#), None);
        let told = capability_filter(r#"{"elicitation":{},"sampling":{},"roots":{}}"#);
        assert_eq!(told.expect("less"), r#"{"elicitation":{}}"#);
        assert_eq!(capability_filter(r#"{"extensions":{"a/b":{}}}"#), None);
    }
}
