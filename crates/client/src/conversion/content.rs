//! Removes content that the client's version does not have.

use bytes::Bytes;
use portolan_wire::object::{self, RawObject};
use serde_json::value::RawValue;

/// Removes structured content that is no object: before 2026-07-28 it has to be one. Returns `true` if something changed.
pub(crate) fn without_odd_output(result: &mut RawObject) -> bool {
    if result.get("structuredContent").is_none_or(|raw| raw.starts_with(b"{")) {
        return false;
    }
    let Some(raw) = result.remove("structuredContent") else {
        return false;
    };
    // Without other content, it becomes text.
    let told = result
        .get("content")
        .is_some_and(|content| blocks(content).is_some_and(|blocks| !blocks.is_empty()));
    if !told {
        let text = text_block(&String::from_utf8_lossy(&raw));
        result.set("content", [b"[", &*text, b"]"].concat().into());
    }
    true
}

/// Replaces links to resources, which came with 2025-06-18, by text, in the content of a tool's result or the messages of
/// a prompt. Returns `true` if something changed.
pub(crate) fn without_links(result: &mut RawObject) -> bool {
    let mut changed = false;
    if let Some(blocks) = result.get("content").filter(|raw| may_link(raw)).and_then(blocks) {
        result.set("content", array(blocks.iter().map(|block| plain(&raw(block)))));
        changed = true;
    }
    if let Some(messages) = result.get("messages").filter(|raw| may_link(raw)).and_then(blocks) {
        result.set(
            "messages",
            array(messages.iter().map(|message| plain_message(&raw(message)))),
        );
        changed = true;
    }
    changed
}

fn may_link(raw: &Bytes) -> bool {
    memchr::memmem::find(raw, b"resource_link").is_some()
}

fn blocks(raw: &Bytes) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_slice(raw).ok()
}

fn raw(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}

fn plain_message(message: &Bytes) -> Bytes {
    let Ok(mut members) = RawObject::parse_checked(message) else {
        return message.clone();
    };
    if let Some(block) = members.get("content").map(plain) {
        members.set("content", block);
    }
    members.to_bytes()
}

/// Returns a block of content, with a link replaced by text.
fn plain(block: &Bytes) -> Bytes {
    let Ok(members) = RawObject::parse_checked(block) else {
        return block.clone();
    };
    let text = |member: &str| members.get(member).and_then(object::text);
    if text("type").as_deref() != Some("resource_link") {
        return block.clone();
    }
    let uri = text("uri").unwrap_or_default();
    text_block(&match text("title").or_else(|| text("name")) {
        Some(name) => format!("{name}: {uri}"),
        None => uri.into_owned(),
    })
}

fn text_block(text: &str) -> Bytes {
    let mut block = RawObject::new();
    block.set("type", Bytes::from_static(br#""text""#));
    block.set("text", object::quote(text));
    block.to_bytes()
}

fn array(items: impl Iterator<Item = Bytes>) -> Bytes {
    let items: Vec<_> = items.collect();
    [b"[", &*items.join(&b','), b"]"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> RawObject {
        RawObject::parse(&Bytes::copy_from_slice(text.as_bytes())).expect("an object")
    }

    #[test]
    fn odd_output_becomes_text_where_there_is_none() {
        let mut result = object(r#"{"content":[],"structuredContent":[1, 2]}"#);
        assert!(without_odd_output(&mut result));
        assert_eq!(result.to_bytes(), r#"{"content":[{"type":"text","text":"[1, 2]"}]}"#);
        let mut result = object(r#"{"content":[{"type":"text","text":"x"}],"structuredContent":5}"#);
        assert!(without_odd_output(&mut result));
        assert_eq!(result.to_bytes(), r#"{"content":[{"type":"text","text":"x"}]}"#);
        assert!(!without_odd_output(&mut object(r#"{"structuredContent":{}}"#)));
    }

    #[test]
    fn links_become_text() {
        let link = r#"{"type":"resource_link","uri":"a:b","name":"n"}"#;
        let text = r#"{"type":"text","text":"n: a:b"}"#;
        let mut result = object(&format!(
            r#"{{"content":[{{"type":"text","text":"resource_link"}},{link}],"x":1}}"#
        ));
        assert!(without_links(&mut result));
        let expected = format!(r#"{{"content":[{{"type":"text","text":"resource_link"}},{text}],"x":1}}"#);
        assert_eq!(result.to_bytes(), expected);
        let mut result = object(&format!(r#"{{"messages":[{{"role":"user","content":{link}}}]}}"#));
        assert!(without_links(&mut result));
        assert_eq!(
            result.to_bytes(),
            format!(r#"{{"messages":[{{"role":"user","content":{text}}}]}}"#)
        );
    }
}
