//! Compares one step of two clients, apart from what the eras express differently.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::script::{Feature, Step};

/// What differs, if anything, where the client or the server is modern or neither.
pub(super) fn difference(
    feature: Feature,
    step: &Step,
    through: &Value,
    direct: &Value,
    is_modern: bool,
) -> Option<String> {
    let (mut left, mut right) = (comparable(through, is_modern), comparable(direct, is_modern));
    if step.has_strays {
        let is_asked = matches!(feature, Feature::Forms | Feature::Pages | Feature::Sampling);
        without_strays(&mut left, is_asked);
        without_strays(&mut right, is_asked);
    }
    for part in ["result", "error", "asked"] {
        if left[part] != right[part] {
            return Some(format!("{part} differs: {} is not {}", left[part], right[part]));
        }
    }
    if step.is_random {
        let count = |outcome: &Value| outcome["logs"].as_array().map_or(0, Vec::len);
        let least = step.operation["logs"].as_u64().unwrap_or_default();
        let enough = |outcome: &Value| count(outcome) as u64 >= least;
        return (!enough(&left) || !enough(&right)).then(|| "too few log messages".to_owned());
    }
    if left["logs"] != right["logs"] {
        return Some(format!("logs differ: {} is not {}", left["logs"], right["logs"]));
    }
    // Some clients report progress of their own when they are asked something.
    match feature {
        Feature::Progress => progress(&left["progress"], &right["progress"]),
        _ => None,
    }
}

/// `server-everything` asks each client for its roots a while after the handshake, and logs what it gets, and that somebody
/// has subscribed to something: a session of the gateway's own, in which nobody reads that. To a client whose stream broke off
/// it repeats whatever it has asked and told since.
fn without_strays(outcome: &mut Value, is_asked: bool) {
    if let Some(asked) = outcome["asked"].as_array_mut() {
        asked.retain(|question| is_asked && *question != json!({}));
        asked.dedup();
    }
    if let Some(events) = outcome["progress"].as_array_mut() {
        // What the second TypeScript client tells itself while it answers.
        let is_its_own = |event: &Value| {
            let message = event["message"].as_str();
            message.is_some_and(|message| message.starts_with("Fulfilling input required"))
        };
        let mut reached = f64::NEG_INFINITY;
        events.retain(|event| {
            if is_its_own(event) {
                return false;
            }
            let progress = event["progress"].as_f64().unwrap_or(reached);
            let is_more = progress > reached;
            reached = reached.max(progress);
            is_more
        });
    }
    if let Some(logs) = outcome["logs"].as_array_mut() {
        logs.retain(|log| {
            let data = log["data"].as_str().unwrap_or_default();
            log["logger"] != "everything-server" && !data.starts_with("Received ")
        });
    }
}

/// The TypeScript clients forget a call's progress handler before they have delivered an event that came in one read with
/// the result, so that the last event may be missing, directly as well.
fn progress(left: &Value, right: &Value) -> Option<String> {
    let (left, right) = (left.as_array()?, right.as_array()?);
    let common = left.len().min(right.len());
    let is_same = left[..common] == right[..common] && left.len().abs_diff(right.len()) <= 1;
    (!is_same).then(|| "progress differs".to_owned())
}

fn comparable(outcome: &Value, is_modern: bool) -> Value {
    let mut outcome = outcome.clone();
    if let Some(error) = outcome.get_mut("error") {
        // Words are free; a missing resource has a code of its own in the legacy era.
        let code = match error["code"].as_i64() {
            Some(-32002) => json!(-32602),
            _ => error["code"].clone(),
        };
        *error = json!({ "code": code });
    }
    if let Some(list) = outcome.get_mut("result").and_then(Value::as_array_mut) {
        entries(list, is_modern);
    }
    if let Some(result) = outcome.get_mut("result").and_then(Value::as_object_mut) {
        for modern in ["resultType", "ttlMs", "cacheScope"] {
            result.remove(modern);
        }
        if let Some(meta) = result.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.remove("io.modelcontextprotocol/serverInfo");
        }
        if result.get("_meta") == Some(&json!({})) {
            result.remove("_meta");
        }
    }
    if let Some(asked) = outcome["asked"].as_array_mut() {
        asked.iter_mut().for_each(question);
        // What is asked at once has no order.
        asked.sort_by_key(ToString::to_string);
    }
    timeless(&mut outcome);
    outcome
}

/// Lists are sorted through the gateway. A modern tool has no `execution`.
fn entries(list: &mut Vec<Value>, is_modern: bool) {
    let mut sorted = BTreeMap::new();
    for mut entry in list.drain(..) {
        if let Some(entry) = entry.as_object_mut().filter(|_| is_modern) {
            entry.remove("execution");
        }
        sorted.insert(format!("{} {}", entry["name"], entry["uri"]), entry);
    }
    list.extend(sorted.into_values());
}

/// A form may say that it is one; a modern page has no id.
fn question(question: &mut Value) {
    if let Some(question) = question.as_object_mut() {
        if question.get("mode").is_some_and(|mode| mode == "form") {
            question.remove("mode");
        }
        question.remove("elicitationId");
    }
}

/// Takes out when something was made, and in which session.
fn timeless(value: &mut Value) {
    match value {
        Value::String(text) => {
            for mark in ["created at ", "for session ", "Elicitation ID: "] {
                if let Some(at) = text.find(mark) {
                    text.truncate(at + mark.len());
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        Value::Object(members) => {
            let blob = members.get("blob").and_then(Value::as_str);
            let text = blob.and_then(|blob| String::from_utf8(BASE64_STANDARD.decode(blob).ok()?).ok());
            if let Some(text) = text {
                members.insert("blob".to_owned(), text.into());
            }
            members.values_mut().for_each(timeless);
        }
        _ => {}
    }
}
