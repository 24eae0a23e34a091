//! Tasks of 2025-11-25 in the form of 2026-07-28.

use bytes::Bytes;
use portolan_wire::object::RawObject;

/// Converts the result of a legacy server that created a task; `None` if it created none.
pub(crate) fn modern_result(result: &RawObject) -> Option<RawObject> {
    let task = RawObject::parse_checked(result.get("task")?).ok()?;
    let mut created = modern_task(&task);
    created.insert_first("resultType", Bytes::from_static(b"\"task\""));
    Some(created)
}

/// Renames the members of a task to those of 2026-07-28.
pub(crate) fn modern_task(task: &RawObject) -> RawObject {
    let mut flat = RawObject::new();
    for (member, raw) in task.iter() {
        match &*member {
            "ttl" => flat.set("ttlMs", whole_number(raw)),
            "pollInterval" => flat.set("pollIntervalMs", whole_number(raw)),
            other => flat.set(other, raw.clone()),
        };
    }
    if !flat.contains("ttlMs") {
        flat.set("ttlMs", Bytes::from_static(b"null"));
    }
    flat
}

/// Rounds milliseconds, which are integers in 2026-07-28.
fn whole_number(raw: &Bytes) -> Bytes {
    let text = std::str::from_utf8(raw).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(number) if text.parse::<u64>().is_err() => (number.max(0.0).round() as u64).to_string().into(),
        _ => raw.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_renamed() {
        let result = br#"{"task":{"taskId":"t","status":"working","ttl":null,"pollInterval":99.6,"x":1}}"#;
        let result = RawObject::parse(&Bytes::from_static(result)).expect("an object");
        let expected =
            r#"{"resultType":"task","taskId":"t","status":"working","ttlMs":null,"pollIntervalMs":100,"x":1}"#;
        assert_eq!(modern_result(&result).expect("a task").to_bytes(), expected);
        assert!(modern_result(&RawObject::new()).is_none());
    }
}
