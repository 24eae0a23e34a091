//! Several programs that share one server.

use std::{sync::Arc, time::Duration};

use portolan_core::{Clock, Error, SystemClock};
use portolan_k8s::attach::AttachChannel;
use serde_json::{Value, json};

use super::{
    api_server::{Api, owner},
    calls::call,
};
use crate::wait::eventually;

fn program(api: &Api, holder: &str) -> Arc<AttachChannel> {
    api.channel(|config| config.ownership = Some(owner(holder)))
}

async fn serve(api: &mut Api) {
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    tokio::spawn(stdio.echo());
}

/// Waits until a call succeeds.
async fn wait_until_callable(channel: &Arc<AttachChannel>) {
    eventually("a call succeeds", Duration::from_secs(10), async || {
        call(channel, json!({})).await.ok()
    })
    .await;
}

fn holder(api: &Api) -> Option<Value> {
    let state = api.state.lock().unwrap();
    state
        .leases
        .get("mcp-test")
        .map(|lease| lease["spec"]["holderIdentity"].clone())
}

#[tokio::test]
async fn released_lease_is_taken_over_at_once() {
    let mut api = Api::start().await;
    let first = program(&api, "gateway-1");
    serve(&mut api).await;
    wait_until_callable(&first).await;
    let second = program(&api, "gateway-2");
    let error = eventually(
        "the second program knows the owner",
        Duration::from_secs(10),
        async || {
            let error = call(&second, json!({})).await.unwrap_err();
            error.to_string().contains("gateway-1").then_some(error)
        },
    )
    .await;
    assert!(error.is_retryable(), "{error}");
    assert!(matches!(error, Error::NotReady { .. }));
    // It is kept: longer than it lasts.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert!(call(&second, json!({})).await.is_err());
    call(&first, json!({})).await.unwrap();
    let begun = std::time::Instant::now();
    drop(first);
    serve(&mut api).await;
    wait_until_callable(&second).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(holder(&api), Some("gateway-2".into()));
    drop(second);
    eventually("the Lease is deleted", Duration::from_secs(2), async || {
        holder(&api).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn expired_lease_is_taken_over() {
    let mut api = Api::start().await;
    let spec = json!({"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": SystemClock.now().to_string(), "leaseTransitions": 3});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "mcp-test", "resourceVersion": "1"}, "spec": spec});
    api.state.lock().unwrap().leases.insert("mcp-test".into(), lease);
    let begun = std::time::Instant::now();
    let channel = program(&api, "gateway-1");
    serve(&mut api).await;
    wait_until_callable(&channel).await;
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(1400) && took < Duration::from_secs(4),
        "{took:?}"
    );
    let state = api.state.lock().unwrap();
    assert_eq!(state.leases["mcp-test"]["spec"]["leaseTransitions"], 4);
}

#[tokio::test]
async fn failed_renewal_gives_up_in_time() {
    let mut api = Api::start().await;
    let channel = program(&api, "gateway-1");
    serve(&mut api).await;
    wait_until_callable(&channel).await;
    api.state.lock().unwrap().is_mute = true;
    let begun = std::time::Instant::now();
    loop {
        // The connection itself is fine.
        let mut request = super::calls::request(&json!({}));
        request.timeout = Duration::from_millis(100);
        let answered = async { portolan_core::Channel::call(&*channel, request).await?.answer().await };
        if answered.await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(700) && took < Duration::from_millis(1500),
        "{took:?}"
    );
}

#[tokio::test]
async fn one_owner_among_many() {
    let mut api = Api::start().await;
    let programs: Vec<_> = (0..5)
        .map(|number| program(&api, &format!("gateway-{number}")))
        .collect();
    serve(&mut api).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut able = 0;
    for channel in &programs {
        able += u32::from(call(channel, json!({})).await.is_ok());
    }
    assert_eq!(able, 1);
}
