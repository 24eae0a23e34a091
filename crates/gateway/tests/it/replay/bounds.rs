//! Replay is bounded in size, number and time.

use std::time::Duration;

use serde_json::json;

use super::{assert_lost, call, gateway, id, next, progress, text, under_way};
use crate::support::{DEADLINE, client::ClientVersion, eventually, servers::streaming::StreamingServer};

#[tokio::test]
async fn overflowing_stream_is_reported_lost() {
    for size in [100, 3000] {
        let server = StreamingServer::start(false).await;
        let gateway = gateway(&server, |config| config.limits.replay_bytes = 2000).await;
        let client = gateway.connect(ClientVersion::V2025_11_25).await;
        let (incoming, streamed, first) = under_way(&client, &server, "\"a\"").await;
        drop(incoming);
        let log = json!({"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": "x".repeat(size)}});
        for _ in 0..30 {
            streamed.send_raw(&format!("data: {log}\n\n"));
        }
        streamed.respond("done");
        gateway.drain(DEADLINE).await;
        let mut again = client.resume(id(&first)).await;
        let lost = next(&mut again).await;
        assert_lost(&lost, "\"a\"");
        assert!(lost.data.contains("2000 bytes"), "{}", lost.data);
        assert_eq!(again.event().await.expect("a proper end"), None);
        assert_eq!(client.resume(id(&lost)).await.head.status, 405, "that is its end");
    }
}

#[tokio::test]
async fn large_response_passes_unreplayed() {
    for (size, is_kept) in [(500_000, true), (8 << 20, false)] {
        let server = StreamingServer::start(false).await;
        let gateway = gateway(&server, |_| {}).await;
        let client = gateway.connect(ClientVersion::V2025_11_25).await;
        let (mut incoming, streamed, first) = under_way(&client, &server, "1").await;
        let large = "y".repeat(size);
        streamed.respond(&large);
        let answer = next(&mut incoming).await;
        assert!(text(&answer) == large.as_str());
        assert_eq!(incoming.event().await.expect("a proper end"), None);
        let mut again = client.resume(id(&first)).await;
        let answer = next(&mut again).await;
        match is_kept {
            true => assert!(text(&answer) == large.as_str()),
            false => assert_lost(&answer, "1"),
        }
    }
}

#[tokio::test]
async fn oldest_ended_streams_are_evicted() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |config| {
        config.limits.replays = 3;
        config.limits.session_replays = 2;
    })
    .await;
    let (one, two) = (
        gateway.connect(ClientVersion::V2025_11_25).await,
        gateway.connect(ClientVersion::V2025_11_25).await,
    );
    let mut ended = Vec::new();
    for request in ["1", "2", "3"] {
        let (incoming, streamed, event) = under_way(&one, &server, request).await;
        streamed.respond("done");
        assert_eq!(incoming.messages().await.expect("whole").len(), 1);
        ended.push(event);
    }
    assert_eq!(gateway.replay_count(), 2, "one session has two");
    assert_lost(&next(&mut one.resume(id(&ended[0])).await).await, "1");
    assert_eq!(text(&next(&mut one.resume(id(&ended[1])).await).await), "done");
    let running = [under_way(&two, &server, "1").await, under_way(&two, &server, "2").await];
    assert_eq!(gateway.replay_count(), 3, "there are three in all");
    assert_lost(&next(&mut one.resume(id(&ended[1])).await).await, "2");
    assert_eq!(text(&next(&mut one.resume(id(&ended[2])).await).await), "done");
    // Those that go on are not forgotten for others, so that another stream has no ids.
    let number = server.calls();
    let begun = two.send_only(&call(&two, "3")).await;
    server.call(number).await.send_progress(1);
    server.call(number).await.respond("done");
    let mut incoming = begun.incoming().await;
    while let Some(event) = incoming.whole_event().await.expect("whole") {
        assert_eq!((event.id, event.retry), (None, None));
    }
    for (incoming, streamed, event) in running {
        drop(incoming);
        streamed.respond("done");
        eventually("answered", || streamed.is_closed()).await;
        assert_eq!(text(&next(&mut two.resume(id(&event)).await).await), "done");
    }
}

#[tokio::test]
async fn ended_streams_expire() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |config| config.timeouts.replay = Duration::ZERO).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (incoming, streamed, event) = under_way(&client, &server, "1").await;
    let (going_on, other, first) = under_way(&client, &server, "2").await;
    drop(going_on);
    streamed.respond("done");
    assert_eq!(incoming.messages().await.expect("whole").len(), 1);
    eventually("it is forgotten", || gateway.replay_count() == 1).await;
    assert_lost(&next(&mut client.resume(id(&event)).await).await, "1");
    let mut again = client.resume(id(&first)).await;
    other.respond("done");
    assert_eq!(text(&next(&mut again).await), "done", "what goes on is kept");
}

#[tokio::test]
async fn zero_replay_limit_disables_ids() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |config| config.limits.replays = 0).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let begun = client.send_only(&call(&client, "1")).await;
    let streamed = server.call(0).await;
    streamed.send_progress(1);
    let mut incoming = begun.incoming().await;
    let event = incoming.whole_event().await.expect("whole").expect("an event");
    assert_eq!((progress(&event), event.id), (1, None));
    drop(incoming);
    streamed.respond("done");
    eventually("the call goes on", || streamed.is_closed()).await;
    assert_eq!(gateway.replay_count(), 0);
}

#[tokio::test]
async fn lost_prompt_is_json_rpc_error() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |config| config.limits.replay_bytes = 10).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let post = client.request("5", "prompts/get", r#""name":"up__p""#, r#""progressToken":"p""#);
    let mut incoming = client.begin(&post).await;
    let primed = incoming.whole_event().await.expect("whole").expect("an event");
    drop(incoming);
    let streamed = server.call(0).await;
    streamed.send_progress(1);
    streamed.respond("done");
    gateway.drain(DEADLINE).await;
    let lost = next(&mut client.resume(id(&primed)).await).await.json();
    assert_eq!(
        (&lost["id"], &lost["error"]["code"]),
        (&json!(5), &json!(-32603)),
        "{lost}"
    );
    assert_eq!(lost["error"]["data"]["dev.portolan/failure"]["cause"], "stopped");
}
