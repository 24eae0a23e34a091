//! The related task of a message of 2025-11-25, in its `_meta`.

use bytes::Bytes;
use portolan_wire::{
    meta::{META, RELATED_TASK},
    object::{self, RawObject},
};

/// Returns params or a result with the id of the related task replaced by `rename`, raw. `None` if there is none, or
/// `rename` returns `None`.
pub fn rename_related(raw: &Bytes, rename: impl FnOnce(&str) -> Option<Bytes>) -> Option<Bytes> {
    // Few messages have one.
    memchr::memmem::find(raw, RELATED_TASK.as_bytes())?;
    let mut members = RawObject::parse_checked(raw).ok()?;
    let mut meta = RawObject::parse_checked(members.get(META)?).ok()?;
    let mut related = RawObject::parse_checked(meta.get(RELATED_TASK)?).ok()?;
    let id = rename(&object::text(related.get("taskId")?)?)?;
    related.set("taskId", id);
    meta.set(RELATED_TASK, related.to_bytes());
    members.set(META, meta.to_bytes());
    Some(members.to_bytes())
}

/// Returns params or a result without the related task, which 2026-07-28 does not have. `None` if there is none.
pub fn without_related(raw: &Bytes) -> Option<Bytes> {
    memchr::memmem::find(raw, RELATED_TASK.as_bytes())?;
    let mut members = RawObject::parse_checked(raw).ok()?;
    let mut meta = RawObject::parse_checked(members.get(META)?).ok()?;
    meta.remove(RELATED_TASK)?;
    if meta.is_empty() {
        members.remove(META);
    } else {
        members.set(META, meta.to_bytes());
    }
    Some(members.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"x":1,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}}}"#;

    #[test]
    fn only_the_id_changes() {
        let raw = Bytes::from_static(RESULT.as_bytes());
        let renamed_to = rename_related(&raw, |id| (id == "a").then(|| object::quote("b"))).expect("another");
        assert_eq!(renamed_to, RESULT.replace(r#""a""#, r#""b""#));
        assert_eq!(rename_related(&raw, |_| None), None);
        assert_eq!(
            rename_related(&Bytes::from_static(b"{}"), |_| Some(object::quote("b"))),
            None
        );
    }

    #[test]
    fn what_is_left_of_meta_stays() {
        let raw = Bytes::from_static(RESULT.as_bytes());
        assert_eq!(without_related(&raw).expect("less"), r#"{"x":1}"#);
        let more = Bytes::from(RESULT.replace(r#""_meta":{"#, r#""_meta":{"y":2,"#));
        assert_eq!(without_related(&more).expect("less"), r#"{"x":1,"_meta":{"y":2}}"#);
    }
}
