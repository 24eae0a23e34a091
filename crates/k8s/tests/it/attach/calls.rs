//! Calls through an attachment.

use std::{sync::Arc, time::Duration};

use portolan_core::{Channel, ChannelRequest, ExchangeEvent, Result, RpcResponse};
use portolan_k8s::attach::AttachChannel;
use serde_json::{Value, json};

use super::api_server::Api;

pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn request(params: &Value) -> ChannelRequest {
    ChannelRequest::new("tools/call", Some(params.to_string().into()), TIMEOUT)
}

pub(super) async fn call(channel: &Arc<AttachChannel>, params: Value) -> Result<Value> {
    match channel.call(request(&params)).await?.answer().await? {
        RpcResponse::Result(raw) => Ok(serde_json::from_slice(&raw).unwrap()),
        RpcResponse::Error(raw) => panic!("{raw:?}"),
    }
}

#[tokio::test]
async fn calls_in_both_protocol_versions() {
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
        let mut api = Api::start().await;
        api.state.lock().unwrap().protocol = protocol;
        let channel = api.channel(|_| {});
        let mut stdio = api.attached().await;
        stdio.handshake().await;
        tokio::spawn(stdio.echo());
        let hello = channel.handshake().await.unwrap();
        assert_eq!(
            (hello.modern, hello.generation, &*hello.version),
            (false, 1, "2025-11-25")
        );
        let calls = (0..64).map(|number| call(&channel, json!({"number": number})));
        for (number, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), json!({"number": number}));
        }
    }
}

#[tokio::test]
async fn lines_in_pieces() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let calls = [1, 2, 3].map(|number| {
        let channel = channel.clone();
        tokio::spawn(async move { call(&channel, json!({"number": number})).await })
    });
    let mut text = String::new();
    for _ in 0..3 {
        let message = stdio.message().await.unwrap();
        text.push_str(&json!({"jsonrpc": "2.0", "id": message["id"], "result": message["params"]}).to_string());
        text.push_str("\r\n");
    }
    // The first byte by byte, the second in two with a part of the third, and errors in between.
    let (first, rest) = text.split_at(text.find('\n').unwrap() + 1);
    for byte in first.as_bytes() {
        stdio.write(1, &[*byte]).await;
        stdio.write(2, b"an error line\n").await;
        stdio.write(1, b"").await;
    }
    let (some, more) = rest.split_at(rest.len() * 2 / 3);
    stdio.write(1, some.as_bytes()).await;
    stdio.write(1, more.as_bytes()).await;
    for (call, number) in calls.into_iter().zip(1..) {
        assert_eq!(call.await.unwrap().unwrap(), json!({"number": number}));
    }
}

#[tokio::test]
async fn large_messages() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    tokio::spawn(stdio.echo());
    let large = json!({"text": "x".repeat(8 << 20)});
    assert_eq!(call(&channel, large.clone()).await.unwrap(), large);
}

#[tokio::test]
async fn server_request_is_answered() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    let mut exchange = channel.call(request(&json!({})).requester_key("a")).await.unwrap();
    let id = stdio.message().await.unwrap()["id"].clone();
    stdio
        .say(&json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}))
        .await;
    let Some(ExchangeEvent::ServerRequest(question)) = exchange.next().await else {
        panic!("no question");
    };
    exchange.respond(question.key, RpcResponse::Result("{\"yes\":1}".into()));
    assert_eq!(
        stdio.message().await.unwrap(),
        json!({"jsonrpc": "2.0", "id": "q", "result": {"yes": 1}})
    );
    stdio.answer(&id, json!({})).await;
    exchange.answer().await.unwrap();
}

#[tokio::test]
async fn calls_wait_for_a_pod() {
    let mut api = Api::start().await;
    let channel = api.channel(|_| {});
    channel.set_run(None);
    let short = ChannelRequest::new("tools/call", None, Duration::from_millis(200));
    let error = channel.call(short).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, json!({"a": 1})).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    channel.set_run(api.run());
    let stdio = async {
        // The first one was given up when the aim changed.
        loop {
            let mut stdio = api.attached().await;
            if tokio::time::timeout(Duration::from_millis(500), stdio.handshake())
                .await
                .is_ok()
            {
                return stdio;
            }
        }
    };
    tokio::spawn(stdio.await.echo());
    assert_eq!(waiting.await.unwrap().unwrap(), json!({"a": 1}));
}
