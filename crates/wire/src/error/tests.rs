use super::*;
use crate::method::Method;

fn relayed(client: Era, method: Method, code: i64, data: Option<&'static str>) -> ErrorMapping {
    let data = data.map(|data| Bytes::from_static(data.as_bytes()));
    let error = ErrorObject {
        data,
        ..ErrorObject::new(code, "x")
    };
    to_client(client, &method, error)
}

fn code(relayed: ErrorMapping) -> i64 {
    match relayed {
        ErrorMapping::Error(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_reads_back() {
    let error =
        ErrorObject::unsupported_version(&[ProtocolVersion::V2026_07_28, ProtocolVersion::V2025_11_25], "v\"999");
    let raw = error.to_bytes();
    assert_eq!(
        &raw[..],
        br#"{"code":-32022,"message":"unsupported protocol version","data":{"supported":["2026-07-28","2025-11-25"],"requested":"v\"999"}}"#
    );
    assert_eq!(ErrorObject::parse(&raw), Some(error));
}

#[test]
fn error_needs_code() {
    for raw in ["{}", "[]", r#"{"code":"1"}"#, r#"{"code":1.5}"#] {
        assert_eq!(ErrorObject::parse(&Bytes::from_static(raw.as_bytes())), None);
    }
    let bare = ErrorObject::parse(&Bytes::from_static(br#"{"code":1}"#)).unwrap();
    assert_eq!((bare.code, &*bare.message), (1, ""));
}

#[test]
fn http_status_by_code_and_era() {
    for (code, modern, legacy) in [
        (PARSE_ERROR, 400, 400),
        (INVALID_REQUEST, 400, 400),
        (METHOD_NOT_FOUND, 404, 200),
        (INVALID_PARAMS, 200, 200),
        (INTERNAL_ERROR, 200, 200),
        (HEADER_MISMATCH, 400, 400),
        (MISSING_CLIENT_CAPABILITY, 400, 400),
        (UNSUPPORTED_PROTOCOL_VERSION, 400, 400),
        (1, 200, 200),
    ] {
        assert_eq!(http_status(code, Era::Modern), modern);
        assert_eq!(http_status(code, Era::Legacy), legacy);
    }
}

#[test]
fn missing_resource_by_era() {
    let uri = Some(r#"{"uri":"a:b"}"#);
    assert_eq!(code(relayed(Era::Modern, Method::ResourcesRead, -32002, uri)), -32602);
    assert_eq!(code(relayed(Era::Legacy, Method::ResourcesRead, -32002, uri)), -32002);
    assert_eq!(code(relayed(Era::Legacy, Method::ResourcesRead, -32602, uri)), -32002);
    assert_eq!(code(relayed(Era::Legacy, Method::ResourcesRead, -32602, None)), -32602);
    assert_eq!(code(relayed(Era::Legacy, Method::ToolsCall, -32602, uri)), -32602);
    assert_eq!(ErrorObject::unknown_resource("a:b", Era::Modern).code, -32602);
}

#[test]
fn gateway_errors_are_hidden() {
    for own in [-32020, -32022] {
        for era in [Era::Legacy, Era::Modern] {
            let error = relayed(era, Method::ToolsCall, own, Some("1")).hidden();
            assert_eq!((error.code, error.data), (-32603, None));
        }
    }
}

#[test]
fn unknown_reserved_codes_are_hidden() {
    assert_eq!(code(relayed(Era::Modern, Method::ToolsCall, -32000, None)), -32603);
    assert_eq!(code(relayed(Era::Legacy, Method::ToolsCall, -32000, None)), -32000);
    assert_eq!(code(relayed(Era::Legacy, Method::ToolsCall, -32050, None)), -32603);
    assert_eq!(code(relayed(Era::Modern, Method::ToolsCall, 7, None)), 7);
    let url = relayed(Era::Modern, Method::ToolsCall, -32042, None);
    assert!(matches!(url, ErrorMapping::NeedsUrl(_)));
    let lacks = relayed(Era::Modern, Method::ToolsCall, -32021, None);
    assert!(matches!(lacks, ErrorMapping::LacksCapability(_)));
    assert_eq!(lacks.hidden().code, -32603);
}
