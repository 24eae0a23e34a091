use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn raw(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn mirrored(pairs: &[(&'static str, &str)], method: Method, params: &'static str) -> Result<(), HeaderError> {
    let params = RawObject::parse(&raw(params)).unwrap();
    check_mirrors(&headers(pairs), &method, &params, true)
}

#[test]
fn odd_values_travel_encoded() {
    for (text, value) in [
        ("plain text", "plain text"),
        ("", ""),
        (" a", "=?base64?IGE=?="),
        ("é", "=?base64?w6k=?="),
        ("a\nb", "=?base64?YQpi?="),
        ("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="),
        ("=?base64?x", "=?base64?x"),
    ] {
        assert_eq!(encode(text), value);
        assert_eq!(decode(&encode(text)).unwrap(), text);
    }
    for value in ["=?base64?!?=", "=?base64?/w==?=", "=?base64?w6k?="] {
        assert_eq!(decode(&HeaderValue::from_static(value)), None, "{value}");
    }
    assert_eq!(decode(&HeaderValue::from_bytes(b"\xe9").unwrap()), None);
}

#[test]
fn mirrors_are_compared_decoded() {
    let call = r#"{"name":"\u00e9"}"#;
    let good = [("mcp-method", "tools/call"), ("mcp-name", "=?base64?w6k=?=")];
    assert_eq!(mirrored(&good, Method::ToolsCall, call), Ok(()));
    let wrong = [("mcp-method", "tools/call"), ("mcp-name", "e")];
    assert_eq!(
        mirrored(&wrong, Method::ToolsCall, call),
        Err(HeaderError::Mismatch(NAME))
    );
    assert_eq!(
        mirrored(&good[..1], Method::ToolsCall, call),
        Err(HeaderError::Missing(NAME))
    );
    assert_eq!(
        mirrored(&good[1..], Method::ToolsCall, call),
        Err(HeaderError::Missing(METHOD))
    );
    let case = [("mcp-method", "Tools/call")];
    assert_eq!(
        mirrored(&case, Method::ToolsCall, call),
        Err(HeaderError::Mismatch(METHOD))
    );
    let twice = [("mcp-method", "tools/list"), ("mcp-method", "tools/list")];
    assert_eq!(
        mirrored(&twice, Method::ToolsList, "{}"),
        Err(HeaderError::Duplicate(METHOD))
    );
    let broken = [("mcp-method", "tools/call"), ("mcp-name", "=?base64?!?=")];
    assert_eq!(
        mirrored(&broken, Method::ToolsCall, call),
        Err(HeaderError::Malformed(NAME))
    );
}

#[test]
fn name_header_without_body() {
    let both = [("mcp-method", "tools/call"), ("mcp-name", "a")];
    assert_eq!(
        mirrored(&both, Method::ToolsCall, "{}"),
        Err(HeaderError::Mismatch(NAME))
    );
    assert_eq!(mirrored(&both[..1], Method::ToolsCall, "{}"), Ok(()));
    let list = [("mcp-method", "tools/list"), ("mcp-name", "a")];
    assert_eq!(mirrored(&list, Method::ToolsList, "{}"), Ok(()));
}

#[test]
fn written_headers_pass_checks() {
    for (method, params) in [
        (Method::ToolsCall, r#"{"name":" é"}"#),
        (Method::ResourcesRead, r#"{"uri":"file:///a%20b"}"#),
        (Method::TasksGet, r#"{"taskId":"=?base64?a?="}"#),
        (Method::Other("a b\u{e9}".into()), "{}"),
    ] {
        let params = RawObject::parse(&raw(params)).unwrap();
        let mut headers = HeaderMap::new();
        write_mirrors(&mut headers, &method, &params);
        assert_eq!(check_mirrors(&headers, &method, &params, true), Ok(()));
    }
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "city":{"type":"string","x-mcp-header":"City"},
    "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
    "flag":{"type":"boolean","x-mcp-h\u0065ader":"Flag"},
    "x-mcp-header":{"type":"string","default":{"x-mcp-header":1}}}}"#;

#[test]
fn annotations_have_paths() {
    let mut found = param_headers(&raw(SCHEMA)).unwrap();
    found.sort_by_key(|param| param.name.to_string());
    let shown: Vec<_> = found
        .iter()
        .map(|param| (param.name.as_str(), param.path.join("/")))
        .collect();
    assert_eq!(
        shown,
        [
            ("mcp-param-city", "city".into()),
            ("mcp-param-flag", "flag".into()),
            ("mcp-param-n", "deep/n".into()),
        ]
    );
    assert_eq!(param_headers(&raw(r#"{"type":"object"}"#)), Ok(vec![]));
}

#[test]
fn broken_annotations_are_refused() {
    let broken = |schema| param_headers(&raw(schema)).unwrap_err();
    let property = |text: &str| {
        let schema = format!(r#"{{"properties":{{"a":{text}}}}}"#);
        param_headers(&schema.into()).unwrap_err()
    };
    use AnnotationError::*;
    assert_eq!(property(r#"{"type":"string","x-mcp-header":""}"#), Name("".into()));
    assert_eq!(
        property(r#"{"type":"string","x-mcp-header":"a b"}"#),
        Name("a b".into())
    );
    assert_eq!(property(r#"{"type":"string","x-mcp-header":1}"#), Name("1".into()));
    assert_eq!(property(r#"{"type":"number","x-mcp-header":"a"}"#), Type("a".into()));
    assert_eq!(property(r#"{"x-mcp-header":"a"}"#), Type("a".into()));
    assert_eq!(
        property(r#"{"items":{"type":"string","x-mcp-header":"a"}}"#),
        Unreachable
    );
    assert_eq!(
        property(r#"{"anyOf":[{"type":"string","x-mcp-header":"a"}]}"#),
        Unreachable
    );
    assert_eq!(
        broken(r#"{"$defs":{"d":{"type":"string","x-mcp-header":"a"}}}"#),
        Unreachable
    );
    assert_eq!(broken(r#"{"type":"string","x-mcp-header":"a"}"#), Unreachable);
    assert_eq!(broken(r#"["x-mcp-header"]"#), Schema);
    let twice = r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#;
    assert_eq!(broken(twice), Duplicate("a".into()));
    let deep = format!("{}{{\"x-mcp-header\":1}}{}", "{\"items\":".repeat(70), "}".repeat(70));
    assert_eq!(param_headers(&deep.into()), Err(TooDeep));
}

#[test]
fn params_are_compared_by_value() {
    let declared = param_headers(&raw(SCHEMA)).unwrap();
    let check = |pairs: &[(&'static str, &str)], arguments: &'static str| {
        check_params(&headers(pairs), &declared, Some(&raw(arguments)))
    };
    let all = [
        ("mcp-param-city", "Oslo"),
        ("mcp-param-n", "42"),
        ("mcp-param-flag", "true"),
    ];
    assert_eq!(check(&all, r#"{"city":"Oslo","deep":{"n":42.0},"flag":true}"#), Ok(()));
    assert_eq!(check(&all, r#"{"city":"Oslo","deep":{"n":4.2e1},"flag":true}"#), Ok(()));
    assert_eq!(check(&[], r#"{"city":null,"deep":{}}"#), Ok(()));
    assert_eq!(check(&[("mcp-param-other", "x")], "{}"), Ok(()));
    let n = || HeaderName::from_static("mcp-param-n");
    assert_eq!(check(&[], r#"{"deep":{"n":0}}"#), Err(HeaderError::Missing(n())));
    assert_eq!(check(&all[1..2], "{}"), Err(HeaderError::Mismatch(n())));
    assert_eq!(
        check(&all[1..2], r#"{"deep":{"n":null}}"#),
        Err(HeaderError::Mismatch(n()))
    );
    assert_eq!(
        check(&all[1..2], r#"{"deep":{"n":43}}"#),
        Err(HeaderError::Mismatch(n()))
    );
    assert_eq!(check(&all[1..2], r#"{"deep":{"n":"42"}}"#), Ok(()));
    assert!(check(&all[2..], r#"{"flag":false}"#).is_err());
    assert!(check_params(&headers(&all[..1]), &declared, None).is_err());
}

#[test]
fn written_params_pass_the_check() {
    let declared = param_headers(&raw(SCHEMA)).unwrap();
    let arguments = raw(r#"{"city":"Troms\u00f8","deep":{"n":120.0},"flag":false}"#);
    let mut headers = HeaderMap::new();
    write_params(&mut headers, &declared, Some(&arguments));
    assert_eq!(headers["mcp-param-n"], "120");
    assert_eq!(headers["mcp-param-flag"], "false");
    assert_eq!(check_params(&headers, &declared, Some(&arguments)), Ok(()));
}

proptest! {
    #[test]
    fn header_values_round_trip(text in any::<String>()) {
        let value = encode(&text);
        prop_assert_eq!(decode(&value).unwrap(), text);
    }
}
