//! Headers that mirror the body: what is written from a body is what that body is checked against.
#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portolan_wire::{header, method::Method, object::RawObject};

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let _ = header::decode(&value);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(header::decode(&header::encode(text)).as_deref(), Some(text));
    }
    // Two JSON texts: a schema, and the params of a call.
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (schema, rest) = data.split_at(at);
    let Ok(declared) = header::param_headers(&Bytes::copy_from_slice(schema)) else { return };
    let rest = Bytes::copy_from_slice(rest.get(1..).unwrap_or_default());
    let Ok(params) = RawObject::parse_checked(&rest) else { return };
    for method in [Method::ToolsCall, Method::PromptsGet, Method::ResourcesRead] {
        let mut headers = HeaderMap::new();
        header::write_mirrors(&mut headers, &method, &params);
        if header::mirrors(&method, &params).is_some() {
            assert!(header::check_mirrors(&headers, &method, &params, true).is_ok());
        }
    }
    let arguments = params.get("arguments");
    let mut headers = HeaderMap::new();
    header::write_params(&mut headers, &declared, arguments);
    // A value that is no string, number or boolean is written nowhere, and then refused.
    let _ = header::check_params(&headers, &declared, arguments);
});
