//! Broken connections and misbehaving servers.

use std::time::Duration;

use portolan_core::{Channel, Error, Failure, FailureKind, Result};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    api_server::Api,
    calls::{call, request},
};

#[track_caller]
fn failure<T: std::fmt::Debug>(result: Result<T>) -> Failure {
    match result {
        Err(Error::NotReady { failure, .. }) => failure,
        other => panic!("not ready, not {other:?}"),
    }
}

#[tokio::test]
async fn reattach_repeats_no_handshake() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let exchange = channel.call(request(&json!({"old": true}))).await.unwrap();
    let old = stdio.message().await.unwrap()["id"].as_u64().unwrap();
    drop(stdio);
    let lost = failure(exchange.answer().await);
    assert_eq!(lost.kind, FailureKind::Connection);
    assert!(
        lost.is_retryable() && lost.message.contains("connection to its pod was lost"),
        "{lost}"
    );
    let calling = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, json!({"new": true})).await }
    });
    let mut stdio = api.attached().await;
    assert_eq!(stdio.line().await.unwrap(), "", "what may be torn is ended");
    let message = stdio.message().await.unwrap();
    assert_eq!(message["params"], json!({"new": true}), "no handshake");
    let new = message["id"].as_u64().unwrap();
    assert!(new.abs_diff(old) > 1000 && new < 1 << 53, "{old} {new}");
    // The late answer to the lost call meets nobody.
    stdio.answer(&old.into(), json!({"late": true})).await;
    stdio.answer(&new.into(), json!({"right": true})).await;
    assert_eq!(calling.await.unwrap().unwrap(), json!({"right": true}));
    assert_eq!(channel.handshake().await.unwrap().generation, 1);
}

#[tokio::test]
async fn idle_reattach_sends_no_newline() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    channel.handshake().await.unwrap();
    drop(stdio);
    let mut stdio = api.attached().await;
    let calling = tokio::spawn(async move { call(&channel, json!({})).await });
    let line: Value = serde_json::from_str(&stdio.line().await.unwrap()).unwrap();
    stdio.answer(&line["id"], json!({})).await;
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn close_status_sets_failure_kind() {
    for (status, cause) in [
        (None, FailureKind::Connection),
        (Some("Success"), FailureKind::Exited),
        (Some("Failure"), FailureKind::Connection),
    ] {
        let mut api = Api::start().await;
        let channel = api.channel(|_| {});
        let mut stdio = api.attached().await;
        stdio.handshake().await;
        let exchange = channel.call(request(&json!({}))).await.unwrap();
        stdio.message().await.unwrap();
        if let Some(status) = status {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status, "message": "as planned"});
            stdio.write(3, status.to_string().as_bytes()).await;
        }
        stdio.socket.close(None).await.unwrap();
        assert_eq!(failure(exchange.answer().await).kind, cause, "{status:?}");
    }
}

#[tokio::test]
async fn new_run_repeats_handshake() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let exchange = channel.call(request(&json!({}))).await.unwrap();
    stdio.message().await.unwrap();
    api.state.lock().unwrap().starts += 1;
    channel.set_run(api.run());
    assert_eq!(failure(exchange.answer().await).kind, FailureKind::Exited);
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    tokio::spawn(stdio.echo());
    assert_eq!(channel.handshake().await.unwrap().generation, 2);
    call(&channel, json!({})).await.unwrap();
}

/// The container was restarted, and the watch has not reported it yet.
#[tokio::test]
async fn unnoticed_new_run_repeats_handshake() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    channel.handshake().await.unwrap();
    api.state.lock().unwrap().starts += 1;
    drop(stdio);
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    tokio::spawn(stdio.echo());
    call(&channel, json!({})).await.unwrap();
}

#[tokio::test]
async fn oversized_line_fails_one_call() {
    let mut api = Api::start().await;
    let channel = api.channel(|config| config.limits.line = 1 << 20);
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let exchange = channel.call(request(&json!({}))).await.unwrap();
    let id = stdio.message().await.unwrap()["id"].clone();
    stdio.answer(&id, json!({"x": "y".repeat(3 << 20)})).await;
    assert_eq!(failure(exchange.answer().await).kind, FailureKind::Protocol);
    tokio::spawn(stdio.echo());
    call(&channel, json!({})).await.unwrap();
}

#[tokio::test]
async fn output_flood_blocks_no_call() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let exchange = channel.call(request(&json!({}))).await.unwrap();
    let id = stdio.message().await.unwrap()["id"].clone();
    let line = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x".repeat(100)}});
    let flood = format!("{line}\nno message at all\n").repeat(1000);
    for _ in 0..100 {
        stdio.write(1, flood.as_bytes()).await;
    }
    stdio.answer(&id, json!({})).await;
    exchange.answer().await.unwrap();
}

#[tokio::test]
async fn missing_pong_closes_connection() {
    let mut api = Api::start().await;
    let channel = api.channel(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.pong_timeout = Duration::from_millis(200);
    });
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let begun = std::time::Instant::now();
    let exchange = channel.call(request(&json!({}))).await.unwrap();
    // It is not read from, so nobody answers for it.
    let lost = failure(exchange.answer().await);
    assert_eq!(lost.kind, FailureKind::Connection);
    assert!(lost.message.contains("does not answer"), "{lost}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(stdio);
}

#[tokio::test]
async fn silent_server_stays_connected() {
    let mut api = Api::start().await;
    let channel = api.channel(|config| {
        config.ping_interval = Duration::from_millis(50);
        config.pong_timeout = Duration::from_millis(100);
    });
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let exchange = channel.call(request(&json!({}))).await.unwrap();
    let id = stdio.message().await.unwrap()["id"].clone();
    let mut pings = 0;
    let quiet = tokio::time::sleep(Duration::from_millis(600));
    tokio::pin!(quiet);
    loop {
        use futures_util::StreamExt;
        tokio::select! {
            message = stdio.socket.next() => pings += u32::from(matches!(message, Some(Ok(Message::Ping(_))))),
            () = &mut quiet => break,
        }
    }
    assert!(pings > 5, "{pings}");
    stdio.answer(&id, json!({})).await;
    exchange.answer().await.unwrap();
}

#[tokio::test]
async fn missing_permission_is_named() {
    let api = Api::start().await;
    api.state.lock().unwrap().refuses = Some(403);
    let channel = api.channel(|_| {});
    let refused = failure(call(&channel, json!({})).await);
    assert_eq!(refused.kind, FailureKind::Config);
    assert!(
        refused.message.contains("pods/attach") && refused.message.contains("create"),
        "{refused}"
    );
}

#[tokio::test]
async fn drop_detaches() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let exchange = channel.call(request(&json!({}))).await.unwrap();
    stdio.message().await.unwrap();
    drop(channel);
    assert_eq!(failure(exchange.answer().await).kind, FailureKind::Stopped);
    assert_eq!(stdio.line().await, None);
}
