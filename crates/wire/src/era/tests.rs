use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::*;
use crate::envelope::{Incoming, Message, ParseLimits, parse};

const ALL: &[ProtocolVersion] = &ProtocolVersion::ALL;

fn message(text: &str) -> Message {
    match parse(&Bytes::copy_from_slice(text.as_bytes()), &ParseLimits::default()) {
        Ok(Incoming::One(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

fn call(method: &str, params: &str) -> Message {
    message(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#
    ))
}

fn meta(version: &str) -> String {
    format!(
        r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":{version},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}"#
    )
}

fn list(version: &'static str, body: &str) -> Result<ClientEra, EraError> {
    let headers = headers(&[("mcp-protocol-version", version), ("mcp-method", "tools/list")]);
    detect_client(&headers, &call("tools/list", body), ALL)
}

fn refused(found: Result<ClientEra, EraError>) -> (u16, i64) {
    let error = found.unwrap_err();
    (error.status().as_u16(), error.object().code)
}

#[test]
fn a_modern_request_is_read() {
    let Ok(ClientEra::Modern(call)) = list("2026-07-28", &meta("\"2026-07-28\"")) else {
        panic!("not modern");
    };
    assert_eq!(call.version, ProtocolVersion::V2026_07_28);
    assert_eq!(call.meta.capabilities.as_deref(), Some(&b"{}"[..]));
    assert_eq!(call.params.len(), 1);
    assert_eq!(call.meta.client_info(), None);
}

#[test]
fn modern_checks_are_ordered() {
    let good = meta("\"2026-07-28\"");
    assert_eq!(refused(list("2026-07-28", &meta("\"v999\""))), (400, -32020));
    assert_eq!(refused(list("2025-11-25", &good)), (400, -32020));
    assert_eq!(refused(list("v999", &meta("\"v999\""))), (400, -32022));
    assert_eq!(refused(list("2099-01-01", &meta("\"2099-01-01\""))), (400, -32022));
    assert_eq!(refused(list("2025-11-25", &meta("\"2025-11-25\""))), (400, -32022));
    assert_eq!(refused(list("2026-07-28", "{}")), (400, -32602));
    assert_eq!(refused(list("2026-07-28", r#"{"_meta":[]}"#)), (400, -32602));
    assert_eq!(refused(list("2026-07-28", &meta("1"))), (400, -32602));
    let bare = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    assert_eq!(refused(list("2026-07-28", bare)), (400, -32602));
    assert_eq!(refused(list("2026-07-28", r#"{"_meta":{},"_meta":{}}"#)), (400, -32602));
    let without = detect_client(&HeaderMap::new(), &call("tools/list", &good), ALL);
    assert_eq!(refused(without), (400, -32020));
    let no_method = headers(&[("mcp-protocol-version", "2026-07-28")]);
    assert_eq!(
        refused(detect_client(&no_method, &call("tools/list", &good), ALL)),
        (400, -32020)
    );
    let ping = headers(&[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "ping")]);
    assert_eq!(refused(detect_client(&ping, &call("ping", &good), ALL)), (404, -32601));
}

#[test]
fn modern_initialize_is_refused() {
    let modern = headers(&[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "initialize")]);
    let found = detect_client(&modern, &call("initialize", &meta("\"2026-07-28\"")), ALL);
    assert_eq!(refused(found), (404, -32601));
}

#[test]
fn handshake_with_any_version() {
    let hello = call("initialize", r#"{"protocolVersion":"2026-07-28","capabilities":{}}"#);
    for headers in [HeaderMap::new(), headers(&[("mcp-protocol-version", "2026-07-28")])] {
        let found = detect_client(&headers, &hello, ALL).unwrap();
        assert!(matches!(
            found,
            ClientEra::Initialize {
                requested: NamedVersion::Known(ProtocolVersion::V2026_07_28)
            }
        ));
        assert_eq!(found.era(), Era::Legacy);
    }
    let modern_only = detect_client(&HeaderMap::new(), &hello, &[ProtocolVersion::V2026_07_28]);
    assert_eq!(refused(modern_only), (400, -32022));
    let empty = detect_client(&HeaderMap::new(), &call("initialize", "{}"), ALL);
    assert_eq!(refused(empty), (400, -32602));
}

#[test]
fn everything_else_is_legacy() {
    let list = call("tools/list", "{}");
    let found = |headers: &HeaderMap| detect_client(headers, &list, ALL);
    assert!(matches!(
        found(&HeaderMap::new()),
        Ok(ClientEra::Legacy { version: None, .. })
    ));
    assert!(matches!(
        found(&headers(&[("mcp-protocol-version", "2025-06-18")])),
        Ok(ClientEra::Legacy {
            version: Some(ProtocolVersion::V2025_06_18),
            ..
        })
    ));
    assert_eq!(
        refused(found(&headers(&[("mcp-protocol-version", "nonsense")]))),
        (400, -32022)
    );
    let mut twice = headers(&[("mcp-protocol-version", "2025-06-18")]);
    twice.append("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
    assert_eq!(refused(found(&twice)), (400, -32020));
    let modern_only = detect_client(&HeaderMap::new(), &list, &[ProtocolVersion::V2026_07_28]);
    assert_eq!(refused(modern_only), (400, -32022));
}

#[test]
fn modern_notification_and_response() {
    let version = headers(&[("mcp-protocol-version", "2026-07-28")]);
    let cancelled = message(r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#);
    assert!(matches!(
        detect_client(&version, &cancelled, ALL),
        Ok(ClientEra::Modern(_))
    ));
    let response = message(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(refused(detect_client(&version, &response, ALL)), (400, -32600));
    assert!(matches!(
        detect_client(&HeaderMap::new(), &response, ALL),
        Ok(ClientEra::Legacy { .. })
    ));
}

fn probe(status: u16, kind: &str, body: &str) -> Probe {
    let status = StatusCode::from_u16(status).unwrap();
    judge_probe(status, Some(kind), &Bytes::copy_from_slice(body.as_bytes()))
}

const DISCOVERED: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28","x"],"capabilities":{}}}"#;

#[test]
fn modern_probe_response() {
    let Probe::Modern { supported, discovered } = probe(200, "application/json", DISCOVERED) else {
        panic!("not modern");
    };
    assert_eq!(supported[0].known(), Some(ProtocolVersion::V2026_07_28));
    assert_eq!(supported[1].as_str(), "x");
    assert!(discovered.unwrap().starts_with(b"{\"supportedVersions"));
    let stream = format!(": hi\n\nid: 1\ndata:\n\nevent: message\ndata: {DISCOVERED}\n\n");
    assert!(matches!(
        probe(200, "text/event-stream; charset=utf-8", &stream),
        Probe::Modern { .. }
    ));
    for code in [-32020, -32021, -32022] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":"","data":{{"supported":["2027-01-01"]}}}}}}"#
        );
        let Probe::Modern { supported, .. } = probe(400, "application/json", &body) else {
            panic!("{code}");
        };
        assert!(supported[0].is_modern());
    }
}

#[test]
fn any_other_answer_is_legacy() {
    for (status, body) in [
        (200, ""),
        (400, "Bad Request: no session"),
        (404, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":""}}"#),
        (200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":""}}"#),
        (400, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":""}}"#),
        (
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":""}}"#,
        ),
        (200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        (405, ""),
    ] {
        assert_eq!(
            probe(status, "application/json", body),
            Probe::Legacy,
            "{status} {body}"
        );
    }
}

#[test]
fn inconclusive_probe_responses() {
    for status in [401, 403] {
        assert_eq!(probe(status, "text/plain", ""), Probe::Unauthorized);
    }
    for status in [302, 408, 429, 500, 503] {
        assert_eq!(probe(status, "application/json", DISCOVERED), Probe::Unknown);
    }
}

#[test]
fn stdio_probe_ignores_other_lines() {
    let judge = |text: &'static str| judge_stdio_probe(&Bytes::from_static(text.as_bytes()));
    assert_eq!(judge(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#), None);
    assert!(matches!(judge(DISCOVERED), Some(Probe::Modern { .. })));
    assert_eq!(judge("listening on stdio"), None);
    let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":""}}"#;
    assert_eq!(judge(refusal), Some(Probe::Legacy));
}
