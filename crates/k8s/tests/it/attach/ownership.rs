//! Several programs and one server.

use std::{sync::Arc, time::Duration};

use portolan_core::{Clock, Error, SystemClock};
use portolan_k8s::attach::AttachChannel;
use serde_json::{Value, json};

use super::{
    api_server::{Api, owner},
    calls::call,
};

fn program(api: &Api, holder: &str) -> Arc<AttachChannel> {
    api.channel(|config| config.ownership = Some(owner(holder)))
}

async fn serve(api: &mut Api) {
    let mut stdio = api.attached().await;
    stdio.handshake().await;
    tokio::spawn(stdio.echo());
}

/// Calls until one goes through.
async fn called(channel: &Arc<AttachChannel>) {
    for _ in 0..500 {
        if call(channel, json!({})).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is never called");
}

fn holder(api: &Api) -> Option<Value> {
    let state = api.state.lock().unwrap();
    state
        .leases
        .get("mcp-test")
        .map(|lease| lease["spec"]["holderIdentity"].clone())
}

#[tokio::test]
async fn the_other_program_says_who_owns_the_server_and_takes_over_at_once_when_that_lets_go() {
    let mut api = Api::start().await;
    let first = program(&api, "gateway-1");
    serve(&mut api).await;
    called(&first).await;
    let second = program(&api, "gateway-2");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = call(&second, json!({})).await.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains("gateway-1"),
        "{error}"
    );
    assert!(matches!(error, Error::NotReady { .. }));
    // It is kept: longer than it lasts.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert!(call(&second, json!({})).await.is_err());
    call(&first, json!({})).await.unwrap();
    let begun = std::time::Instant::now();
    drop(first);
    serve(&mut api).await;
    called(&second).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(holder(&api), Some("gateway-2".into()));
    drop(second);
    for _ in 0..100 {
        if holder(&api).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the Lease stays");
}

#[tokio::test]
async fn an_owner_that_is_gone_is_followed_after_a_while() {
    let mut api = Api::start().await;
    let spec = json!({"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": SystemClock.now().to_string(), "leaseTransitions": 3});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "mcp-test", "resourceVersion": "1"}, "spec": spec});
    api.state.lock().unwrap().leases.insert("mcp-test".into(), lease);
    let begun = std::time::Instant::now();
    let channel = program(&api, "gateway-1");
    serve(&mut api).await;
    called(&channel).await;
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(1400) && took < Duration::from_secs(4),
        "{took:?}"
    );
    let state = api.state.lock().unwrap();
    assert_eq!(state.leases["mcp-test"]["spec"]["leaseTransitions"], 4);
}

#[tokio::test]
async fn who_cannot_renew_lets_go_before_another_may_take_it() {
    let mut api = Api::start().await;
    let channel = program(&api, "gateway-1");
    serve(&mut api).await;
    called(&channel).await;
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
async fn of_many_programs_one_owns_it() {
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
