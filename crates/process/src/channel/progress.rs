//! Progress tokens: the caller's on one side, ours on the other.

use bytes::Bytes;
use portolan_wire::{
    meta::{META, PROGRESS_TOKEN, SUBSCRIPTION_ID},
    object::RawObject,
};

/// Replaces the caller's progress token with `ours`. Returns the new params and the caller's token; `None` if there is
/// none.
pub(crate) fn replace(params: &Bytes, ours: u64) -> Option<(Bytes, Bytes)> {
    // The key may contain escapes; only the parser finds it then.
    if !contains(params, PROGRESS_TOKEN) && !contains(params, "\\u") {
        return None;
    }
    let mut params = RawObject::parse(params).ok()?;
    let mut meta = RawObject::parse(params.get(META)?).ok()?;
    meta.get(PROGRESS_TOKEN)?;
    let theirs = meta.set(PROGRESS_TOKEN, number(ours))?;
    params.set(META, meta.to_bytes());
    // A copy, so that long params do not stay in memory for as long as the call takes.
    Some((params.to_bytes(), Bytes::copy_from_slice(&theirs)))
}

/// Returns the call that a progress notification belongs to, and its params for [`restore`].
pub(crate) fn call_of_progress(params: &Bytes) -> Option<(u64, RawObject)> {
    let params = RawObject::parse(params).ok()?;
    let call = integer(params.get(PROGRESS_TOKEN)?)?;
    Some((call, params))
}

/// Returns the params with the caller's own token.
pub(crate) fn restore(mut params: RawObject, theirs: Bytes) -> Bytes {
    params.set(PROGRESS_TOKEN, theirs);
    params.to_bytes()
}

/// Returns the `subscriptions/listen` call that a notification belongs to (2026-07-28, subscriptions).
pub(crate) fn call_of_subscription(params: &Bytes) -> Option<u64> {
    if !contains(params, SUBSCRIPTION_ID) {
        return None;
    }
    let params = RawObject::parse(params).ok()?;
    let meta = RawObject::parse(params.get(META)?).ok()?;
    integer(meta.get(SUBSCRIPTION_ID)?)
}

fn contains(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

fn integer(raw: &Bytes) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(number).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_replaced_and_restored() {
        let params = Bytes::from_static(br#"{"name":"x","_meta":{"a":1.0,"progressToken":"t\u00e4"}}"#);
        let (sent, theirs) = replace(&params, 42).unwrap();
        assert_eq!(sent, r#"{"name":"x","_meta":{"a":1.0,"progressToken":42}}"#);
        let (call, params) = call_of_progress(&Bytes::from_static(br#"{"progressToken":42,"progress":1}"#)).unwrap();
        assert_eq!(call, 42);
        assert_eq!(restore(params, theirs), r#"{"progressToken":"t\u00e4","progress":1}"#);
    }

    #[test]
    fn token_with_escaped_key() {
        let params = Bytes::from_static(br#"{"_meta":{"progress\u0054oken":7}}"#);
        assert_eq!(replace(&params, 1).unwrap().1, "7");
    }

    #[test]
    fn other_members_are_left_alone() {
        for text in [
            r#"{"arguments":{"progressToken":7}}"#,
            r#"{"_meta":{"x":"progressToken"}}"#,
            "{}",
            "junk",
        ] {
            assert_eq!(replace(&Bytes::from(text), 1), None, "{text}");
        }
    }
}
