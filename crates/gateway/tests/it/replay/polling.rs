//! A server closes the stream of a call to make its client poll: the gateway makes its own client poll too.

use serde_json::json;

use crate::support::{
    client::ClientVersion, eventually, gateway::TestGateway, raw::Event, servers::requesting::RequestingServer,
};

const ARGUMENTS: &str = r#"{"tag":"t","polls":true,"progress":true,"requests":0,"rounds":0}"#;

#[tokio::test]
async fn polling_client_gets_retry() {
    let server = RequestingServer::resumable().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let post = client.call_with("1", "up__ask", ARGUMENTS, r#""progressToken":"p""#);
    let mut incoming = client.begin(&post).await;
    let mut events: Vec<Event> = Vec::new();
    while let Some(event) = incoming.whole_event().await.expect("a proper end") {
        events.push(event);
    }
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.data.is_empty(), event.retry))
        .collect();
    assert_eq!(
        seen,
        [(true, Some(1000)), (false, None), (true, Some(20))],
        "primed, told how far it is, and sent away for as long as the server said: {events:?}"
    );
    let last = events.last().and_then(|event| event.id.clone()).expect("an id");
    // The call goes on without it.
    let mut again = client.resume(&last).await;
    let mut texts = Vec::new();
    while let Some(event) = again.event().await.expect("a proper end") {
        texts.push(event);
    }
    assert!(texts.last().expect("an answer").contains(r#""text":"t:""#), "{texts:?}");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn older_client_stream_stays_open() {
    let server = RequestingServer::resumable().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    for version in [ClientVersion::V2025_03_26, ClientVersion::V2025_06_18] {
        let client = gateway.connect(version).await;
        let post = client.call_with("1", "up__ask", ARGUMENTS, r#""progressToken":"p""#);
        let mut incoming = client.begin(&post).await;
        let mut events = Vec::new();
        while let Some(event) = incoming.whole_event().await.expect("a proper end") {
            assert!(event.retry.is_none() && !event.data.is_empty(), "{event:?}");
            events.push(event);
        }
        assert!(
            events.last().expect("an answer").data.contains(r#""text":"t:""#),
            "{events:?}"
        );
    }
    assert!(server.resumed() >= 2);
}

#[tokio::test]
async fn absent_client_keeps_call_running() {
    let server = RequestingServer::resumable().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway
        .connect_with(ClientVersion::V2025_11_25, r#"{"elicitation":{}}"#)
        .await;
    let arguments = json!({"tag": "t", "polls": true, "requests": 1});
    let mut incoming = client.begin(&client.call("1", "up__ask", &arguments.to_string())).await;
    let mut last = None;
    while let Some(event) = incoming.whole_event().await.expect("a proper end") {
        last = event.id;
    }
    eventually("the server has sent its request", || gateway.server_request_count() > 0).await;
    let mut again = client.resume(&last.expect("an id")).await;
    let question = again.json().await;
    let answer =
        json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"tag": "x"}}});
    assert_eq!(client.send(&client.post(answer.to_string())).await.status(), 202);
    let answer = again.json().await;
    assert_eq!(answer["result"]["content"][0]["text"], "t:x");
}
