use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn edit(result_type: ResultType) -> Edit {
    Edit {
        id: RequestId::from_u64(77),
        result_type,
    }
}

/// Streams `text` in chunks that end at `cuts`.
fn stream(text: &[u8], result_type: ResultType, cuts: &[usize]) -> Result<(Vec<u8>, MessageHead), StreamError> {
    let mut stream = ResponseStream::new(edit(result_type));
    let mut out: Vec<Bytes> = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut from = 0;
    for cut in cuts {
        stream.push(Bytes::copy_from_slice(&text[from..cut]), &mut out)?;
        from = cut;
    }
    let head = stream.finish()?;
    Ok((out.concat(), head))
}

fn text(input: &str, result_type: ResultType) -> String {
    let (whole, head) = stream(input.as_bytes(), result_type, &[]).unwrap();
    let each: Vec<usize> = (0..input.len()).collect();
    let (bytewise, same) = stream(input.as_bytes(), result_type, &each).unwrap();
    assert_eq!(whole, bytewise, "{input}");
    assert_eq!(head, same);
    String::from_utf8(whole).unwrap()
}

fn fault(input: &str) -> StreamError {
    let fault = stream(input.as_bytes(), ResultType::Strip, &[]).unwrap_err();
    let each: Vec<usize> = (0..input.len()).collect();
    assert_eq!(stream(input.as_bytes(), ResultType::Strip, &each).unwrap_err(), fault);
    fault
}

#[test]
fn id_alone_is_replaced() {
    for (input, output) in [
        (r#"{"id":1,"result":{}}"#, r#"{"id":77,"result":{}}"#),
        (
            r#" { "result" : [1, "]"] , "i\u0064" : "a\"b" } "#,
            r#" { "result" : [1, "]"] , "i\u0064" : 77 } "#,
        ),
        (r#"{"error":{"id":3},"id":null}"#, r#"{"error":{"id":3},"id":77}"#),
        (
            r#"{"x":{"id":1},"id":-1.5e3 ,"result":0}"#,
            r#"{"x":{"id":1},"id":77 ,"result":0}"#,
        ),
    ] {
        assert_eq!(text(input, ResultType::Keep), output);
    }
}

#[test]
fn answering_results_are_detected() {
    for (result, answers) in [
        (r#"{"content":[]}"#, true),
        (r#"{"_meta":{},"structured\u0043ontent":1}"#, true),
        (r#"{"contents":[]}"#, true),
        (r#"{"messages":[]}"#, true),
        (r#"{"inputRequests":{"content":[]}}"#, false),
        (r#"{"_meta":{"content":[]}}"#, false),
    ] {
        let text = format!(r#"{{"content":1,"id":1,"result":{result}}}"#);
        let (_, head) = stream(text.as_bytes(), ResultType::Ensure, &[]).unwrap();
        assert_eq!(head.answers, answers, "{result}");
    }
}

#[test]
fn missing_result_type_is_added() {
    for (input, output) in [
        (
            r#"{"id":1,"result":{}}"#,
            r#"{"id":77,"result":{"resultType":"complete"}}"#,
        ),
        (
            r#"{"id":1,"result":{"a":{}}}"#,
            r#"{"id":77,"result":{"a":{},"resultType":"complete"}}"#,
        ),
        (
            r#"{"id":1,"result":{"resultType":"task"}}"#,
            r#"{"id":77,"result":{"resultType":"task"}}"#,
        ),
        (
            r#"{"id":1,"result":{"a":{"resultType":1}}}"#,
            r#"{"id":77,"result":{"a":{"resultType":1},"resultType":"complete"}}"#,
        ),
        (
            r#"{"id":1,"result":{"result\u0054ype":"x"}}"#,
            r#"{"id":77,"result":{"result\u0054ype":"x"}}"#,
        ),
        (r#"{"id":1,"error":{}}"#, r#"{"id":77,"error":{}}"#),
    ] {
        assert_eq!(text(input, ResultType::Ensure), output);
    }
}

#[test]
fn result_type_is_dropped_with_its_comma() {
    for (input, output) in [
        (r#"{"id":1,"result":{"resultType":"x"}}"#, r#"{"id":77,"result":{}}"#),
        (
            r#"{"id":1,"result":{ "resultType" : "x" , "a":1}}"#,
            r#"{"id":77,"result":{ "a":1}}"#,
        ),
        (
            r#"{"id":1,"result":{"a":1, "resultType":"x" }}"#,
            r#"{"id":77,"result":{"a":1}}"#,
        ),
        (
            r#"{"id":1,"result":{"a":1,"resultType":"x","b":2}}"#,
            r#"{"id":77,"result":{"a":1,"b":2}}"#,
        ),
        (
            r#"{"id":1,"result":{"a":1,"b":{"resultType":"x"}}}"#,
            r#"{"id":77,"result":{"a":1,"b":{"resultType":"x"}}}"#,
        ),
    ] {
        assert_eq!(text(input, ResultType::Strip), output);
    }
}

#[test]
fn long_key_is_unchanged() {
    let key = "k".repeat(500);
    let input = format!(r#"{{"id":1,"result":{{"a":0,"{key}":1, "{key}2":2}}}}"#);
    let output = format!(r#"{{"id":77,"result":{{"a":0,"{key}":1,"{key}2":2}}}}"#);
    assert_eq!(text(&input, ResultType::Strip), output);
}

#[test]
fn head_is_known_early() {
    let mut stream = ResponseStream::new(edit(ResultType::Keep));
    let mut out: Vec<Bytes> = Vec::new();
    stream
        .push(Bytes::from_static(br#"{"id":"a","error":{"#), &mut out)
        .unwrap();
    assert_eq!(stream.head().kind, Some(MessageKind::Error));
    assert_eq!(stream.head().id.as_ref().unwrap().as_raw(), br#""a""#);
    assert_eq!(stream.finish(), Err(StreamError::Unfinished));
}

#[test]
fn notification_is_recognised() {
    let (_, head) = stream(br#"{"method":"x","params":{}}"#, ResultType::Keep, &[]).unwrap();
    assert_eq!(head.kind, Some(MessageKind::Method));
    assert_eq!(head.id, None);
}

#[test]
fn malformed_messages_are_errors() {
    use StreamError::*;
    for (input, expected) in [
        ("", Unfinished),
        ("[]", NotAnObject),
        ("{", Unfinished),
        (r#"{"id":1,"result":{}"#, Unfinished),
        (r#"{"id":1,"result":{}}x"#, Trailing),
        (r#"{"id":1,"result":{}}{}"#, Trailing),
        (r#"{"id":1,"result":{]}"#, Syntax),
        (r#"{"id":1,"result":[}}"#, Syntax),
        (r#"{"id":1,"result":{"a":[}}}"#, Syntax),
        (r#"{"id":1,"result":{"a":1]}"#, Syntax),
        (r#"{"id":1]"#, Syntax),
        (r#"{"id":1,}"#, Syntax),
        (r#"{"id":1 2}"#, Syntax),
        (r#"{"id":1,"result":{"a":1,}}"#, Syntax),
        (r#"{"id":1,"result":{"resultType":"x",}}"#, Syntax),
        (r#"{"result":{}}"#, MissingId),
        (r#"{"id":null,"result":{}}"#, MissingId),
        (r#"{"id":1}"#, Shape),
        (r#"{"id":1,"result":{},"error":{}}"#, Shape),
        (r#"{"id":1,"id":1,"result":{}}"#, Duplicate("id")),
        (
            r#"{"id":1,"result":{"resultType":"a","resultType":"b"}}"#,
            Duplicate("resultType"),
        ),
        (r#"{"id":1,"result":{"resultType":1}}"#, ResultType),
        (r#"{"id":{},"result":{}}"#, Id(InvalidId::NotAnId)),
        (r#"{"id":true,"result":{}}"#, Id(InvalidId::NotAnId)),
    ] {
        assert_eq!(fault(input), expected, "{input}");
    }
    let long = format!(r#"{{"id":{},"result":{{}}}}"#, "1".repeat(1100));
    assert_eq!(fault(&long), Id(InvalidId::TooLong));
    let deep = format!(r#"{{"id":1,"result":{}"#, "[".repeat(1100));
    assert_eq!(fault(&deep), TooDeep);
}

#[test]
fn unchanged_chunk_is_not_copied() {
    let mut stream = ResponseStream::new(edit(ResultType::Strip));
    let mut out: Vec<Bytes> = Vec::new();
    stream
        .push(
            Bytes::from_static(br#"{"id":1,"result":{"content":[{"text":""#),
            &mut out,
        )
        .unwrap();
    let chunk = Bytes::from(vec![b'x'; 10_000]);
    out.clear();
    stream.push(chunk.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), chunk.as_ptr());
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ \"\\\\\\PCé{}\\[\\],:\n]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-c\"\\\\é]{0,3}|resultType|id", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// JSON with white space and escapes sprinkled in by `noise`.
fn render(value: &Value, noise: &mut impl FnMut() -> u8, out: &mut String) {
    let space = |noise: &mut dyn FnMut() -> u8, out: &mut String| match noise() % 6 {
        0 => out.push(' '),
        1 => out.push_str("\n\t"),
        _ => {}
    };
    space(noise, out);
    match value {
        Value::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                space(noise, out);
                string(key, noise, out);
                space(noise, out);
                out.push(':');
                render(value, noise, out);
            }
            space(noise, out);
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                render(value, noise, out);
            }
            space(noise, out);
            out.push(']');
        }
        Value::String(text) => string(text, noise, out),
        other => out.push_str(&other.to_string()),
    }
    space(noise, out);
}

/// A response with its members, and those of its result, in the given order.
fn response(
    order: &[&str],
    id: &Value,
    result: &[(String, Value)],
    extra: &Value,
    noise: &mut impl FnMut() -> u8,
) -> String {
    let mut out = String::from("{");
    for (index, member) in order.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(member, noise, &mut out);
        out.push(':');
        match *member {
            "jsonrpc" => out.push_str(" \"2.0\""),
            "id" => render(id, noise, &mut out),
            "extra" => render(extra, noise, &mut out),
            _ => {
                out.push_str(" {");
                for (index, (key, value)) in result.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(if noise().is_multiple_of(3) { " " } else { "" });
                    string(key, noise, &mut out);
                    out.push(':');
                    render(value, noise, &mut out);
                }
                out.push('}');
            }
        }
    }
    out.push('}');
    out
}

fn string(text: &str, noise: &mut impl FnMut() -> u8, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        if noise().is_multiple_of(8) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = serde_json::to_string(&char.to_string()).unwrap();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out.push('"');
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn matches_edit_of_parsed_value(
        result in prop::collection::vec(("[a-z]{0,4}|_meta|resultTyp|resultTypes", json_value()), 0..5),
        result_type in prop::option::of((0usize..6, "complete|input_required|x")),
        order in Just(["jsonrpc", "id", "result", "extra"]).prop_shuffle(),
        extra in json_value(),
        id in prop_oneof![any::<u32>().prop_map(Value::from), "[a\"\\\\]{0,9}".prop_map(Value::from)],
        noise in prop::collection::vec(any::<u8>(), 64),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        mode in prop_oneof![Just(ResultType::Keep), Just(ResultType::Ensure), Just(ResultType::EnsureUncached),
            Just(ResultType::Strip)],
    ) {
        // serde_json's map sorts or keeps the order, as the host's features have it: write members
        // one by one, so that the order is random in any case.
        let mut members: Vec<(String, Value)> = Vec::new();
        for (key, value) in result {
            if members.iter().all(|(other, _)| *other != key) {
                members.push((key, value));
            }
        }
        if let Some((at, value)) = &result_type {
            members.insert((*at).min(members.len()), ("resultType".into(), json!(value)));
        }
        let mut next = 0;
        let mut noise = || { next += 1; noise[next % 64] };
        let input = response(&order, &id, &members, &extra, &mut noise);

        let mut expected: Value = serde_json::from_str(&input).unwrap();
        expected["id"] = json!(77);
        let object: &mut Map<String, Value> = expected["result"].as_object_mut().unwrap();
        match mode {
            ResultType::Keep => {}
            ResultType::Ensure => { object.entry("resultType").or_insert(json!("complete")); }
            ResultType::EnsureUncached => {
                if result_type.is_none() {
                    object.extend([
                        ("resultType".into(), json!("complete")),
                        ("ttlMs".into(), json!(0)),
                        ("cacheScope".into(), json!("private")),
                    ]);
                }
            }
            ResultType::Strip => { object.remove("resultType"); }
        }

        let (output, head) = stream(input.as_bytes(), mode, &cuts).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&output).unwrap(), expected);
        prop_assert_eq!(head.result_type.is_some(), result_type.is_some());
        let (whole, _) = stream(input.as_bytes(), mode, &[]).unwrap();
        prop_assert_eq!(&output, &whole);
        for (key, value) in members.iter().filter(|(key, _)| key != "resultType") {
            let raw = raw_member(input.as_bytes(), key).unwrap();
            prop_assert_eq!(raw_member(&output, key).unwrap(), raw, "{} {}", key, value);
        }
    }

    #[test]
    fn hostile_text_and_chunking(
        input in "(\\{|\"id\":|\"result\":|\"resultType\":|\"error\":|\\{|\\}|\\[|\\]|,|:|\"|\\\\|1| |a|\"x\"){0,40}",
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let cut = stream(input.as_bytes(), ResultType::Strip, &cuts);
        let whole = stream(input.as_bytes(), ResultType::Strip, &[]);
        prop_assert_eq!(cut, whole);
    }
}

fn raw_member(message: &[u8], key: &str) -> Option<Bytes> {
    let message = crate::object::RawObject::parse(&Bytes::copy_from_slice(message)).ok()?;
    let result = crate::object::RawObject::parse(message.get("result")?).ok()?;
    result.get(key).cloned()
}
