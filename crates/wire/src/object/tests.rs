use proptest::prelude::*;

use super::*;

fn object(text: &'static str) -> Result<RawObject, ObjectError> {
    RawObject::parse(&Bytes::from_static(text.as_bytes()))
}

#[test]
fn untouched_members_keep_their_text() {
    let text = r#"{ "na\u006de" : "\u0061", "n":1.00 ,"o": {"x": [ ] }}"#;
    let mut it = object(text).unwrap();
    assert_eq!(it.to_bytes(), text.as_bytes());
    assert_eq!(&it.get("name").unwrap()[..], br#""\u0061""#);
    assert_eq!(it.set("name", quote("b")), Some(Bytes::from_static(br#""\u0061""#)));
    assert_eq!(it.set("new\n", Bytes::from_static(b"true")), None);
    assert_eq!(
        it.insert_first("n", Bytes::from_static(b"2")),
        Some(Bytes::from_static(b"1.00"))
    );
    let expected = r#"{"n":2,"na\u006de":"b","o":{"x": [ ] },"new\n":true}"#;
    assert_eq!(it.to_bytes(), expected.as_bytes());
    assert!(it.remove("new\n").is_some());
    assert!(it.remove("new\n").is_none());
    let keys: Vec<_> = it.iter().map(|(key, _)| key.into_owned()).collect();
    assert_eq!(keys, ["n", "name", "o"]);
}

#[test]
fn empty_object_can_be_extended() {
    let mut it = object(" { } ").unwrap();
    assert!(it.is_empty());
    it.set("a", Bytes::from_static(b"1"));
    assert_eq!(&it.to_bytes()[..], br#"{"a":1}"#);
}

#[test]
fn non_objects_are_refused() {
    for (text, fault) in [
        ("", ObjectError::NotJson),
        ("[]", ObjectError::NotAnObject),
        ("{\"a\":1", ObjectError::NotJson),
        ("{} {}", ObjectError::NotJson),
        ("{\"a\":1,\"\\u0061\":2}", ObjectError::Duplicate("a".into())),
    ] {
        assert_eq!(object(text).unwrap_err(), fault, "{text}");
    }
    let deep = Bytes::from(format!("{{\"a\":{}", "[".repeat(2000)));
    assert_eq!(RawObject::parse(&deep).unwrap_err(), ObjectError::TooDeep);
}

#[test]
fn duplicates_are_found_among_many() {
    let mut members: Vec<String> = (0..MAX_MEMBERS - 1).map(|n| format!("\"{n}\":0")).collect();
    let many = |members: &[String]| RawObject::parse(&format!("{{{}}}", members.join(",")).into());
    assert_eq!(many(&members).unwrap().len(), MAX_MEMBERS - 1);
    members.push("\"777\":1".into());
    assert_eq!(many(&members).unwrap_err(), ObjectError::Duplicate("777".into()));
    members.push("\"one too many\":1".into());
    assert_eq!(many(&members).unwrap_err(), ObjectError::TooMany);
}

#[test]
fn only_strings_have_a_text() {
    let read = |raw: &'static str| text(&Bytes::from_static(raw.as_bytes())).map(String::from);
    assert_eq!(read(r#""a""#), Some("a".into()));
    assert_eq!(read(r#""a\u0041\ud83d\ude00""#), Some("aA\u{1f600}".into()));
    for raw in [
        "",
        "\"",
        "1",
        "null",
        "\"a",
        "a\"",
        r#""\ud800""#,
        "\"a\"b\"",
        "\"\n\"",
        r#""\""#,
    ] {
        assert_eq!(read(raw), None, "{raw}");
    }
    let latin = Bytes::from_static(b"\"\xe9\"");
    assert_eq!(text(&latin), None);
}

proptest! {
    #[test]
    fn a_quoted_string_reads_back(plain in any::<String>()) {
        let raw = quote(&plain);
        prop_assert_eq!(&serde_json::from_slice::<String>(&raw).unwrap(), &plain);
        prop_assert_eq!(text(&raw).unwrap(), plain);
    }
}
