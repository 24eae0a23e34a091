use proptest::prelude::*;

use super::*;
use crate::error::{ErrorObject, INVALID_REQUEST, PARSE_ERROR};

fn read(text: &str) -> Result<Incoming, ParseError> {
    parse(&Bytes::copy_from_slice(text.as_bytes()), &ParseLimits::default())
}

fn one(text: &str) -> Message {
    match read(text).unwrap() {
        Incoming::One(message) => message,
        Incoming::Batch(_) => panic!("a batch"),
    }
}

#[test]
fn a_request_keeps_its_text() {
    let text = r#" {"params": {"n":1.00, "é":"\u0041"} ,"jsonrpc":"2.0","me\u0074hod":"tools/call","id":1.0,"x":[]} "#;
    let body = Bytes::copy_from_slice(text.as_bytes());
    let Ok(Incoming::One(Message::Request(request))) = parse(&body, &ParseLimits::default()) else {
        panic!("no request");
    };
    assert_eq!(request.method, Method::ToolsCall);
    assert_eq!(request.id.as_raw(), b"1.0");
    let params = request.params.unwrap();
    assert_eq!(&params[..], r#"{"n":1.00, "é":"\u0041"}"#.as_bytes());
    assert!(body.as_ptr_range().contains(&params.as_ptr()));
}

#[test]
fn the_kinds_are_told_apart() {
    assert!(matches!(
        one(r#"{"jsonrpc":"2.0","method":"a"}"#),
        Message::Notification(Notification { null_id: false, .. })
    ));
    assert!(matches!(
        one(r#"{"jsonrpc":"2\u002e0","method":"a"}"#),
        Message::Notification(_)
    ));
    assert!(matches!(
        one(r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#),
        Message::Notification(Notification { null_id: true, .. })
    ));
    assert!(matches!(
        one(r#"{"jsonrpc":"2.0","id":"a","result":[1]}"#),
        Message::Response(Response { outcome: Outcome::Result(raw), .. }) if &raw[..] == b"[1]"
    ));
    assert!(matches!(
        one(r#"{"jsonrpc":"2.0","error":{}}"#),
        Message::Response(Response {
            id: None,
            outcome: Outcome::Error(_)
        })
    ));
    assert!(
        matches!(read(r#"[{"jsonrpc":"2.0","method":"a"} , {"jsonrpc":"2.0","method":"b"}]"#),
        Ok(Incoming::Batch(messages)) if messages.len() == 2)
    );
}

#[test]
fn malformed_message_keeps_id() {
    use Malformed::*;
    for (text, malformed, id) in [
        ("", NotJson, None),
        (r#"{"id":1,"jsonrpc":"2.0","method":"a""#, NotJson, None),
        (r#"{"jsonrpc":"2.0","method":"a"} x"#, NotJson, None),
        ("1", NotAnObject, None),
        ("[]", EmptyBatch, None),
        ("[1]", NotAnObject, None),
        (r#"{"id":1,"method":"a"}"#, Version, Some("1")),
        (r#"{"id":1,"jsonrpc":2.0,"method":"a"}"#, Version, Some("1")),
        (
            r#"{"id":1,"jsonrpc":"2.0","method":"a","params":[]}"#,
            Params,
            Some("1"),
        ),
        (
            r#"{"id":1,"jsonrpc":"2.0","method":"a","params":null}"#,
            Params,
            Some("1"),
        ),
        (r#"{"jsonrpc":"2.0","method":7,"id":"z"}"#, Method, Some("\"z\"")),
        (r#"{"jsonrpc":"2.0","id":1}"#, Shape, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#, Shape, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"method":"a"}"#, Shape, Some("1")),
        (r#"{"jsonrpc":"2.0","result":1}"#, Shape, None),
        (r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#, Error, Some("1")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#,
            Duplicate("method"),
            Some("1"),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","id":2}"#, Duplicate("id"), None),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"a","id":true}"#,
            Duplicate("id"),
            None,
        ),
        (
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","method":"a"}"#,
            Duplicate("jsonrpc"),
            None,
        ),
        (
            r#"{"jsonrpc":"2.0","id":[],"method":"a"}"#,
            Id(crate::id::InvalidId::NotAnId),
            None,
        ),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.malformed, malformed, "{text}");
        assert_eq!(
            error.id.as_ref().map(|id| id.to_string()),
            id.map(String::from),
            "{text}"
        );
        let code = if malformed == NotJson {
            PARSE_ERROR
        } else {
            INVALID_REQUEST
        };
        assert_eq!(error.object().code, code);
    }
    let latin = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xe9\"}");
    assert_eq!(parse(&latin, &ParseLimits::default()).unwrap_err().malformed, NotUtf8);
}

#[test]
fn the_limits_hold() {
    let nested = |depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","method":"a","params":{{"a":{open}{close}}}}}"#)
    };
    assert!(read(&nested(126)).is_ok());
    assert_eq!(read(&nested(127)).unwrap_err().malformed, Malformed::TooDeep);
    assert_eq!(read(&"[".repeat(1 << 20)).unwrap_err().code(), PARSE_ERROR);
    let batch = vec![r#"{"jsonrpc":"2.0","method":"a"}"#; 101].join(",");
    assert_eq!(read(&format!("[{batch}]")).unwrap_err().malformed, Malformed::LongBatch);
    let method = "m".repeat(257);
    assert!(read(&format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)).is_err());
}

#[test]
fn what_is_written_reads_back() {
    let id = RequestId::from_u64(5);
    assert_eq!(
        &request(&id, &Method::ToolsList, Some(b"{}"))[..],
        br#"{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{}}"#
    );
    assert_eq!(
        &notification(&Method::parse("a\"b"), None)[..],
        br#"{"jsonrpc":"2.0","method":"a\"b"}"#
    );
    assert_eq!(&result(&id, b"[]")[..], br#"{"jsonrpc":"2.0","id":5,"result":[]}"#);
    let gone = ErrorObject::method_not_found("x");
    assert_eq!(
        &error(Some(&id), &gone)[..],
        br#"{"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"method not found: x"}}"#
    );
    assert_eq!(
        &error(None, &gone.with_data(Bytes::from_static(b"[1]")))[..],
        br#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"method not found: x","data":[1]}}"#
    );
}

#[test]
fn newlines_go_and_nothing_else() {
    let pretty = Bytes::from_static(b"{\n  \"a\": \"b\\n\",\r\n  \"c\": 1\n}\n");
    assert_eq!(&one_line(&pretty)[..], b"{  \"a\": \"b\\n\",  \"c\": 1}");
    let flat = Bytes::from_static(b"{}");
    assert_eq!(one_line(&flat).as_ptr(), flat.as_ptr());
}

proptest! {
    #[test]
    fn hostile_text_never_panics(
        text in r#"(\{|\}|"id":|"jsonrpc":"2.0"|"method":|"params":|,|1|"a"|\[|\]|\{\}|\\|"){0,20}"#,
    ) {
        if read(&text).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn params_round_trip(name in "\\PC{0,20}", number in any::<f64>()) {
        let params = format!(r#"{{"name":{},"n":{number:e}}}"#, serde_json::to_string(&name).unwrap());
        let text = request(&RequestId::from_u64(1), &Method::ToolsCall, Some(params.as_bytes()));
        if number.is_finite() {
            let Ok(Incoming::One(message)) = parse(&text, &ParseLimits::default()) else {
                panic!("{text:?}");
            };
            prop_assert_eq!(message.params().unwrap(), params.as_bytes());
        }
    }
}
