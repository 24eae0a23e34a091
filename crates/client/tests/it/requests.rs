//! Whole requests over HTTP: results, typed errors, deadlines.

use std::time::Duration;

use portolan_client::{ClientConfig, ClientTimeouts, Era, Error, Method, Prompts, RequestError, Resources, Tools};
use portolan_core::{FailureKind, UpstreamCredential};
use portolan_fixtures::{
    everything::Eras,
    http::{HttpFixture, Options},
    scripted::{Reply, ScriptedServer, modern},
};
use serde_json::{Value, json};

use crate::support::{bearer, everything, none, server_at, server_with};

const ALL: [Eras; 3] = [Eras::Legacy, Eras::Modern, Eras::Both];

/// Calls the tool `t` of a modern server that gives this result.
async fn call_with_result(result: &'static str) -> RequestError {
    let upstream = ScriptedServer::start(move |request| match request.method() {
        "tools/call" => Reply::result(request, result),
        _ => modern(request).unwrap_or_else(|| Reply::error(request, -32601, "no such method")),
    });
    let upstream = upstream.await.expect("a port");
    let result = server_at(&upstream.url()).call_tool("t", Value::Null, &none()).await;
    result.expect_err("no result of a call")
}

#[tokio::test]
async fn lists_are_read_in_both_eras() {
    for eras in ALL {
        let upstream = everything(eras).await;
        let server = server_at(&upstream.url());
        let tools = server.list::<Tools>(&none()).await.expect("tools");
        assert!(tools.items.get("test_simple_text").is_some());
        assert!(
            server
                .list::<Prompts>(&none())
                .await
                .expect("prompts")
                .items
                .iter()
                .count()
                > 0
        );
        assert!(server.list::<Resources>(&none()).await.is_ok());
    }
}

#[tokio::test]
async fn tools_are_called_in_both_eras() {
    for eras in ALL {
        let upstream = everything(eras).await;
        let server = server_at(&upstream.url());
        let result = server.call_tool("greet", json!({ "name": "Ada" }), &none()).await;
        let result = result.expect("a result");
        assert!(!result.is_error() && result.text().contains("Ada"), "{result:?}");
    }
}

#[tokio::test]
async fn server_info_tells_the_era() {
    for (eras, era) in [
        (Eras::Legacy, Era::Legacy),
        (Eras::Modern, Era::Modern),
        (Eras::Both, Era::Modern),
    ] {
        let upstream = everything(eras).await;
        let server = server_at(&upstream.url());
        assert!(server.info().is_none());
        let info = server.connect(&none()).await.expect("server info");
        assert_eq!(info.era(), era);
        assert!(info.name.is_some() && info.version.is_some(), "{info:?}");
        assert!(info.offers("tools"));
    }
}

#[tokio::test]
async fn failed_tool_is_a_result() {
    for eras in ALL {
        let upstream = everything(eras).await;
        let result = server_at(&upstream.url())
            .call_tool("test_error_handling", Value::Null, &none())
            .await;
        let result = result.expect("a result");
        assert!(result.is_error() && !result.text().is_empty());
    }
}

#[tokio::test]
async fn rpc_error_is_rejected() {
    for eras in ALL {
        let upstream = everything(eras).await;
        let result = server_at(&upstream.url())
            .call_tool("no such tool", Value::Null, &none())
            .await;
        let Err(RequestError::Rejected { method, error, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!((method, error.code), (Method::ToolsCall, -32602));
    }
}

#[tokio::test]
async fn progress_is_ignored() {
    for eras in ALL {
        let upstream = everything(eras).await;
        let result = server_at(&upstream.url())
            .call_tool("test_tool_with_progress", Value::Null, &none())
            .await;
        assert!(result.expect("a result").text().contains("three times"));
    }
}

#[tokio::test]
async fn input_required_is_typed() {
    let error = call_with_result(r#"{"resultType":"input_required","requestState":"s"}"#).await;
    assert!(matches!(error, RequestError::InputRequired { result, .. } if result.contains("requestState")));
}

#[tokio::test]
async fn created_task_is_typed() {
    let error = call_with_result(r#"{"resultType":"task","taskId":"7","status":"working"}"#).await;
    assert!(matches!(error, RequestError::TaskCreated { result, .. } if result.contains("taskId")));
}

#[tokio::test]
async fn unreadable_result_is_a_protocol_error() {
    let error = call_with_result("[]").await;
    let RequestError::Failed(Error::NotReady { failure, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.kind, FailureKind::Protocol);
}

#[tokio::test]
async fn mirrored_arguments_are_sent() {
    let upstream = everything(Eras::Modern).await;
    let server = server_at(&upstream.url());
    // The list is unknown at first: the server rejects the headers, and the call is sent once more.
    for _ in 0..2 {
        let result = server
            .call_tool("test_custom_header", json!({ "region": "eu" }), &none())
            .await;
        assert!(!result.expect("a result").is_error());
    }
}

#[tokio::test]
async fn arguments_have_to_be_an_object() {
    let server = server_at("http://127.0.0.1:9/mcp");
    let result = server.call_tool("t", json!([1]), &none()).await;
    assert!(matches!(result, Err(RequestError::Failed(Error::Invalid { .. }))));
    let result = server.request(&Method::Ping, json!(1), &none()).await;
    assert!(matches!(result, Err(RequestError::Failed(Error::Invalid { .. }))));
}

#[tokio::test]
async fn silent_server_times_out() {
    let mut timeouts = ClientTimeouts::default();
    timeouts.call = Duration::from_millis(200);
    for eras in [Eras::Legacy, Eras::Modern] {
        let options = Options {
            eras,
            ..Options::default()
        };
        let upstream = HttpFixture::start(options).await.expect("a port");
        let server = server_with(&upstream.url(), ClientConfig::default().with_timeouts(timeouts.clone()));
        let result = server.call_tool("sleep", json!({ "ms": 60_000 }), &none()).await;
        assert!(
            matches!(result, Err(RequestError::Failed(Error::Timeout { .. }))),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn refused_credential_is_typed() {
    let upstream = HttpFixture::start(Options::default()).await.expect("a port");
    upstream.behave(|behaviour| behaviour.bearer = Some("right".into()));
    let server = server_at(&upstream.url());
    let failed = server.connect(&bearer("wrong").into()).await;
    let Err(Error::NotReady { failure, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(failure.kind, FailureKind::Credential);
    let echoed = server
        .call_tool("echo", json!({ "text": "hi" }), &bearer("right").into())
        .await;
    assert_eq!(echoed.expect("a result").text(), "hi");
}

#[tokio::test]
async fn unreachable_server_is_not_ready() {
    let upstream = everything(Eras::Both).await;
    let url = upstream.url();
    drop(upstream);
    let failed = server_at(&url).connect(&UpstreamCredential::none().into()).await;
    let Err(Error::NotReady { failure, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(failure.kind, FailureKind::Connection);
}
