//! Adapts definitions to clients of other protocol versions than their servers'.

use std::borrow::Cow;

use bytes::Bytes;
use portolan_wire::{
    era::{Era, ProtocolVersion},
    object::RawObject,
};

use crate::routing::is_of_object;

/// Removes what this version does not define from a definition; mostly returns it unchanged.
pub(super) fn definition(definition: &Bytes, version: ProtocolVersion) -> Cow<'_, Bytes> {
    let named = |member: &str| memchr::memmem::find(definition, member.as_bytes()).is_some();
    let beyond: &[&str] = match version.era() {
        // 2026-07-28 has no tasks of 2025-11-25.
        Era::Modern if named("execution") => &["execution"],
        Era::Modern => return Cow::Borrowed(definition),
        Era::Legacy if version < ProtocolVersion::V2025_06_18 => &["title", "icons", "outputSchema", "execution"],
        Era::Legacy if version < ProtocolVersion::V2025_11_25 && named("execution") => &["execution"],
        Era::Legacy if named("outputSchema") => &[],
        Era::Legacy => return Cow::Borrowed(definition),
    };
    let Ok(mut members) = RawObject::parse_checked(definition) else {
        return Cow::Borrowed(definition);
    };
    let mut changed = false;
    for member in beyond {
        changed |= members.remove(member).is_some();
    }
    // Before 2026-07-28, structured content is an object.
    if version.era() == Era::Legacy && members.get("outputSchema").is_some_and(|schema| !is_of_object(schema)) {
        members.remove("outputSchema");
        changed = true;
    }
    if changed {
        Cow::Owned(members.to_bytes())
    } else {
        Cow::Borrowed(definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"name":"a","title":"A","icons":[],"outputSchema":{"type":"array"},"execution":{"taskSupport":"optional"},"x":1}"#;

    fn adapted(version: ProtocolVersion) -> String {
        let whole = Bytes::from_static(WHOLE.as_bytes());
        String::from_utf8_lossy(&definition(&whole, version)).into_owned()
    }

    #[test]
    fn unknown_members_are_removed() {
        use ProtocolVersion as V;
        assert_eq!(
            adapted(V::V2026_07_28),
            r#"{"name":"a","title":"A","icons":[],"outputSchema":{"type":"array"},"x":1}"#
        );
        assert_eq!(
            adapted(V::V2025_11_25),
            r#"{"name":"a","title":"A","icons":[],"execution":{"taskSupport":"optional"},"x":1}"#
        );
        assert_eq!(adapted(V::V2025_06_18), r#"{"name":"a","title":"A","icons":[],"x":1}"#);
        assert_eq!(adapted(V::V2025_03_26), r#"{"name":"a","x":1}"#);
    }

    #[test]
    fn object_schema_is_kept() {
        let whole = Bytes::from_static(br#"{"name":"a", "outputSchema":{"type":"object"}}"#);
        assert_eq!(*definition(&whole, ProtocolVersion::V2025_06_18), whole);
    }
}
