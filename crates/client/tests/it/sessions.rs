//! Sessions at legacy servers: they heal, and each belongs to one credential.

use std::sync::Arc;

use http::HeaderMap;
use portolan_client::{
    ClientCapabilities, Method, Requester, Tools, UpstreamCredential, UpstreamRequest, UpstreamServer,
};
use portolan_core::{Caller, Subject};
use portolan_fixtures::{
    everything::Eras,
    http::{self as fixture, HttpFixture},
};
use portolan_wire::{id::RequestId, object::RawObject};
use serde_json::{Value, json};

use crate::support::{bearer, eventually, everything, none, server_at};

async fn fixture_at(listen: Option<std::net::SocketAddr>) -> HttpFixture {
    let mut options = fixture::Options {
        eras: Eras::Legacy,
        ..fixture::Options::default()
    };
    options.listen = listen.unwrap_or(options.listen);
    HttpFixture::start(options).await.expect("the port")
}

async fn echo(server: &Arc<UpstreamServer>, credential: &Arc<UpstreamCredential>) -> String {
    let result = server.call_tool("echo", json!({ "text": "hi" }), credential).await;
    result.expect("a result").text()
}

#[tokio::test]
async fn forgotten_session_is_reopened() {
    let upstream = everything(Eras::Legacy).await;
    let server = server_at(&upstream.url());
    for _ in 0..3 {
        let result = server.call_tool("test_simple_text", Value::Null, &none()).await;
        assert!(!result.expect("a result").is_error());
        assert_eq!(upstream.sessions(), 1);
        upstream.expire_sessions();
    }
    assert!(server.list::<Tools>(&none()).await.is_ok());
}

#[tokio::test]
async fn restarted_server_is_called_again() {
    let upstream = fixture_at(None).await;
    let (address, server) = (upstream.address(), server_at(&upstream.url()));
    assert_eq!(echo(&server, &none()).await, "hi");
    drop(upstream);
    assert!(
        server
            .call_tool("echo", json!({ "text": "hi" }), &none())
            .await
            .is_err()
    );
    let upstream = fixture_at(Some(address)).await;
    assert_eq!(echo(&server, &none()).await, "hi");
    assert_eq!(upstream.requests_of("initialize").len(), 1);
}

#[tokio::test]
async fn credentials_share_no_session() {
    let upstream = fixture_at(None).await;
    let server = server_at(&upstream.url());
    let (alice, bob) = (Arc::new(bearer("alice")), Arc::new(bearer("bob")));
    for _ in 0..2 {
        assert_eq!(echo(&server, &alice).await, "hi");
        assert_eq!(echo(&server, &bob).await, "hi");
    }
    assert_eq!(upstream.sessions(), 2);
}

/// Calls a tool for a modern client that can be asked something, which needs a session that hears the server.
async fn call_as_client(server: &UpstreamServer, caller: &Caller, tool: &str) {
    let params = json!({ "name": tool }).to_string();
    let params = RawObject::parse(&params.into()).expect("an object");
    let request = UpstreamRequest {
        requester: Requester::Modern {
            caller,
            endpoint: "test",
            log: None,
        },
        id: &RequestId::from_u64(1),
        method: &Method::ToolsCall,
        params: &params,
        declared: None,
        capabilities: ClientCapabilities::SOMEBODY,
        odd_output: false,
        uris: None,
        tasks: None,
        mirrored: &[],
        credential: &none(),
        passthrough: &HeaderMap::new(),
    };
    let reply = server.call(&request).await.expect("a reply");
    let message = reply.into_message(1 << 20).await.expect("a message");
    assert!(message.is_some());
}

#[tokio::test]
async fn idle_session_is_used_again() {
    let upstream = everything(Eras::Legacy).await;
    let server = server_at(&upstream.url());
    let caller = Caller::new(Subject::Org, "token");
    for _ in 0..3 {
        call_as_client(&server, &caller, "test_simple_text").await;
    }
    assert_eq!(upstream.sessions(), 1);
}

#[tokio::test]
async fn concurrent_calls_have_sessions_of_their_own() {
    let upstream = everything(Eras::Legacy).await;
    let server = server_at(&upstream.url());
    let caller = Caller::new(Subject::Org, "token");
    for _ in 0..2 {
        tokio::join!(
            call_as_client(&server, &caller, "test_tool_with_progress"),
            call_as_client(&server, &caller, "test_tool_with_progress"),
        );
    }
    eventually("two sessions for two calls", || upstream.sessions() <= 2).await;
}
