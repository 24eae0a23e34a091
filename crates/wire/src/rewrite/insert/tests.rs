use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    id::RequestId,
    rewrite::{Edit, ResponseStream, ResultType},
};

const PLACE: JsonPath = JsonPath::Members(&[
    ("uri", JsonPath::Here),
    (
        "in",
        JsonPath::Members(&[("uri", JsonPath::Here), ("deep/er", JsonPath::Here)]),
    ),
]);

fn insertion() -> StringPrefix {
    StringPrefix::front("to+").or_behind("ui://", "at/")
}

/// What comes of `text` in chunks that end at `cuts`.
fn chunked(text: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, bool), StreamError> {
    let mut stream = InsertStream::new(PLACE, insertion());
    let mut out: Vec<Bytes> = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut from = 0;
    for cut in cuts {
        stream.push(&Bytes::copy_from_slice(&text[from..cut]), &mut out)?;
        from = cut;
    }
    let changed = stream.finish()?;
    Ok((out.concat(), changed))
}

fn put(input: &str) -> String {
    let (whole, changed) = chunked(input.as_bytes(), &[]).unwrap();
    let each: Vec<usize> = (0..input.len()).collect();
    assert_eq!(
        chunked(input.as_bytes(), &each).unwrap(),
        (whole.clone(), changed),
        "{input}"
    );
    assert_eq!(changed, whole != input.as_bytes());
    String::from_utf8(whole).unwrap()
}

#[test]
fn text_is_inserted_at_path() {
    for (input, output) in [
        (r#"{"uri":"a"}"#, r#"{"uri":"to+a"}"#),
        (r#"{"uri":""}"#, r#"{"uri":"to+"}"#),
        (
            r#" { "x":{"uri":"a"}, "u\u0072i" : "a\"b" ,"n":1.50e3} "#,
            r#" { "x":{"uri":"a"}, "u\u0072i" : "to+a\"b" ,"n":1.50e3} "#,
        ),
        (
            r#"{"in":[{"uri":"a"},[{"uri":"b"}],"uri",{},{"in":{"uri":"c"},"deep/er":"d"}]}"#,
            r#"{"in":[{"uri":"to+a"},[{"uri":"b"}],"uri",{},{"in":{"uri":"c"},"deep/er":"to+d"}]}"#,
        ),
        (
            r#"{"in":{"uri":"a"},"in":[],"uri":"b"}"#,
            r#"{"in":{"uri":"to+a"},"in":[],"uri":"to+b"}"#,
        ),
    ] {
        assert_eq!(put(input), output);
    }
    for same in [
        r#"{"uri":null,"in":"uri"}"#,
        r#"{"uri":["a"],"in":[[{"uri":"a"}]]}"#,
        r#"{"uri":{"uri":"a"},"in":5}"#,
        r#"["uri","a"]"#,
        r#""uri""#,
        "12",
        "{}",
    ] {
        assert_eq!(put(same), same);
    }
}

#[test]
fn escaped_prefix_is_recognised() {
    for (input, output) in [
        (r"ui://a", r"ui://at/a"),
        (r"ui:\/\/a", r"ui:\/\/at/a"),
        (r"\u0075i\u003A/\u002f", r"\u0075i\u003A/\u002fat/"),
        (r"ui:/", r"to+ui:/"),
        (r"ui:\n//", r"to+ui:\n//"),
        (r"\\ui://a", r"to+\\ui://a"),
        (r"\u0175i://a", r"to+\u0175i://a"),
        (r"UI://a", r"to+UI://a"),
        (r"ui", r"to+ui"),
        (r"ü", r"to+ü"),
    ] {
        assert_eq!(
            put(&format!(r#"{{"uri":"{input}"}}"#)),
            format!(r#"{{"uri":"{output}"}}"#)
        );
    }
}

#[test]
fn long_key_is_off_path() {
    let long = "u".repeat(1000);
    let input = format!(r#"{{"{long}":"a","uri":"b"}}"#);
    assert_eq!(put(&input), format!(r#"{{"{long}":"a","uri":"to+b"}}"#));
}

#[test]
fn inserted_text_is_escaped() {
    let text = Bytes::from_static(br#"{"uri":"a"}"#);
    let put = StringPrefix::front("\"\\").put_into(&text, PLACE).unwrap();
    assert_eq!(put.unwrap(), r#"{"uri":"\"\\a"}"#);
    assert_eq!(
        StringPrefix::front("x").put_into(&Bytes::from_static(b"[]"), PLACE),
        Ok(None)
    );
}

#[test]
fn malformed_text_on_path() {
    for (damaged, fault) in [
        ("", StreamError::Unfinished),
        (r#"{"uri":"a""#, StreamError::Unfinished),
        (r#"{"uri":"a"} x"#, StreamError::Trailing),
        (r#"{"in":[{"uri":"a"},]}"#, StreamError::Syntax),
        (r#"{"in":[{"uri":"a"}}]"#, StreamError::Syntax),
        (r#"{"in":{"uri" "a"}}"#, StreamError::Syntax),
        (r#"{,}"#, StreamError::Syntax),
    ] {
        let each: Vec<usize> = (0..damaged.len()).collect();
        assert_eq!(chunked(damaged.as_bytes(), &[]).unwrap_err(), fault, "{damaged}");
        assert_eq!(chunked(damaged.as_bytes(), &each).unwrap_err(), fault, "{damaged}");
    }
}

#[test]
fn long_string_is_not_buffered() {
    let mut stream = InsertStream::new(PLACE, insertion());
    let mut out: Vec<Bytes> = Vec::new();
    stream.push(&Bytes::from_static(br#"{"uri":""#), &mut out).unwrap();
    let (mut given, mut taken) = (0, 0);
    for _ in 0..1000 {
        let chunk = Bytes::from(vec![b'u'; 1000]);
        taken += chunk.len();
        stream.push(&chunk, &mut out).unwrap();
        given += out.drain(..).map(|piece| piece.len()).sum::<usize>();
        assert!(given + 30 >= taken);
    }
    assert!(stream.strings.matcher.raw().len() <= 30 && stream.strings.open.len() == 1);
}

#[test]
fn edit_and_insert_together() {
    let edit = Edit {
        id: RequestId::from_u64(9),
        result_type: ResultType::Ensure,
    };
    let place = JsonPath::Members(&[("result", PLACE)]);
    let input = br#"{"id":"x","result":{"uri":"a","in":[{"uri":"ui://b"}]},"uri":"c"}"#;
    let mut stream = ResponseStream::new(edit).inserting(place, insertion());
    let mut out: Vec<Bytes> = Vec::new();
    for byte in input {
        stream.push(Bytes::copy_from_slice(&[*byte]), &mut out).unwrap();
    }
    stream.finish().unwrap();
    let expected = r#"{"id":9,"result":{"uri":"to+a","in":[{"uri":"ui://at/b"}],"resultType":"complete"},"uri":"c"}"#;
    assert_eq!(String::from_utf8(out.concat()).unwrap(), expected);
}

/// JSON values in which places are likely.
fn json_value() -> impl Strategy<Value = Value> {
    let uri = prop_oneof![
        "ui:/{0,3}[a-z/]{0,4}",
        "[a-zA-Z]{1,4}:[^\"]{0,8}",
        "\\PC{0,6}",
        "[\"\\\\\n]{0,3}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        uri.prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("uri".to_owned()),
        Just("in".to_owned()),
        Just("deep/er".to_owned()),
        "[a-zü\"]{0,4}",
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same by another way.
fn filled(value: &Value, place: Option<JsonPath>, in_array: bool) -> Value {
    match (value, place) {
        (Value::String(text), Some(JsonPath::Here)) if !in_array => match text.strip_prefix("ui://") {
            Some(rest) => format!("ui://at/{rest}").into(),
            None => format!("to+{text}").into(),
        },
        (Value::Object(members), Some(JsonPath::Members(known))) => {
            let fill = |(key, value): (&String, &Value)| {
                let place = known.iter().find(|(name, _)| name == key).map(|(_, place)| *place);
                (key.clone(), filled(value, place, false))
            };
            Value::Object(members.iter().map(fill).collect())
        }
        (Value::Array(items), Some(JsonPath::Members(_))) if !in_array => {
            items.iter().map(|item| filled(item, place, true)).collect()
        }
        (other, _) => other.clone(),
    }
}

/// JSON text of a value, with any character of its strings perhaps in escapes.
fn written(value: &Value, escapes: &mut impl FnMut() -> bool) -> String {
    let mut string = |text: &str| {
        let mut out = String::from("\"");
        for character in text.chars() {
            let plain = Value::from(character.to_string()).to_string();
            if escapes() {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out += &format!("\\u{unit:04x}");
                }
            } else {
                out += &plain[1..plain.len() - 1];
            }
        }
        out + "\""
    };
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| written(item, escapes)).collect();
            format!("[ {}]", items.join(", "))
        }
        Value::Object(members) => {
            let keys: Vec<_> = members.keys().map(|key| string(key)).collect();
            let members: Vec<_> = keys
                .iter()
                .zip(members.values())
                .map(|(key, value)| format!("{key} :{}", written(value, escapes)))
                .collect();
            format!("{{{} }}", members.join(","))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn all_else_is_unchanged(value in json_value(), seed: u64, cuts in prop::collection::vec(any::<usize>(), 0..20)) {
        let mut random = seed;
        let mut escapes = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 62 == 0
        };
        let text = written(&value, &mut escapes);
        let (out, changed) = chunked(text.as_bytes(), &cuts).unwrap();
        let (whole, _) = chunked(text.as_bytes(), &[]).unwrap();
        prop_assert_eq!(&out, &whole);
        let read: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&read, &filled(&value, Some(PLACE), false));
        prop_assert_eq!(changed, read != value);
        // What was there is still there, in its order, to the byte.
        let mut rest = out.iter();
        prop_assert!(text.bytes().all(|byte| rest.any(|other| *other == byte)));
    }

    #[test]
    fn hostile_text_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let whole = chunked(&bytes, &[]);
        let parts = chunked(&bytes, &cuts);
        prop_assert_eq!(whole.is_ok(), parts.is_ok());
    }
}
