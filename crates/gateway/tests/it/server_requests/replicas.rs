//! Server requests and responses across replicas.

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use super::ALL_CAPABILITIES;
use crate::support::{
    client::ClientVersion,
    dialogue::{call, call_request, complete, responses_to, result_text, resume_call},
    gateway::TestGateway,
    servers::requesting::RequestingServer,
};

#[tokio::test]
async fn response_reaches_waiting_replica() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::modern().await,
        RequestingServer::resumable().await,
    ] {
        let [first, second] = TestGateway::builder()
            .server("up", server.url())
            .server_requests(ServerRequestPolicy::ALL)
            .start_replicas()
            .await;
        for version in [
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
            ClientVersion::V2026_07_28,
        ] {
            let client = first.connect_with(version, ALL_CAPABILITIES).await;
            let there = client.at(second.address);
            let arguments = json!({"tag": "t", "requests": 2, "rounds": 3});
            let message = complete(&client, &there, arguments).await;
            assert_eq!(result_text(&message), "t:t,t,t,t,t,t", "{version:?}");
        }
        assert_eq!(server.calls(), 3);
        assert_eq!(server.unexpected_responses(), 0);
        assert_eq!(first.server_request_count() + second.server_request_count(), 0);
    }
}

#[tokio::test]
async fn lost_replica_fails_suspended_call() {
    let server = RequestingServer::legacy().await;
    let [first, second] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = first.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let there = client.at(second.address);
    let arguments = json!({"tag": "t"});
    let asked = call(&client, &arguments).await;
    drop(first);
    let lost = resume_call(&there, &arguments, &responses_to(&asked)).await;
    assert_eq!(lost["result"]["isError"], true, "{lost}");
    assert_eq!(server.calls(), 1, "it is not made again");
}

#[tokio::test]
async fn resumable_call_is_stateless() {
    let server = RequestingServer::resumable().await;
    let [first, second] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = first.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let there = client.at(second.address);
    let arguments = json!({"tag": "t", "requests": 2, "progress": true});
    let asked = call(&client, &arguments).await;
    assert_eq!(first.server_request_count(), 0);
    // Its replica may be gone by then.
    drop(first);
    let mut extra = responses_to(&asked);
    let full = extra.clone();
    extra["inputResponses"].as_object_mut().expect("answers").remove("q1");
    let again = resume_call(&there, &arguments, &extra).await;
    let keys: Vec<_> = again["result"]["inputRequests"]
        .as_object()
        .expect("requests")
        .keys()
        .collect();
    assert_eq!(keys, ["q1"]);
    let post = call_request(&there, &arguments, &responses_to(&again), r#""progressToken":"new""#);
    let messages = there.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"], json!({"progressToken": "new", "progress": 2}));
    assert_eq!(result_text(&messages[1]), "t:t,t");
    // The answer is there for who lost it on the way; the server takes no answer twice.
    assert_eq!(result_text(&resume_call(&there, &arguments, &full).await), "t:t,t");
    assert_eq!(server.calls(), 1);
    assert_eq!(server.cancelled(), 0);
}
