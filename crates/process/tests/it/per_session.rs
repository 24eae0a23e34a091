//! A process for each conversation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portolan_core::{
    Channel, Error, InstallName, LogQuery, Restart, Result, RpcResponse, RunSpec, Runtime, RuntimeLogs, RuntimeRestart,
    Sharing,
};
use serde_json::{Value, json};

use crate::{
    conformance::spec,
    support::{Ledger, TIMEOUT, eventually, kill, request, runs},
    test_runtime::{TestRuntime, test_runtime, test_runtime_with},
};

fn per_session(max: u16, flags: &[&str]) -> RunSpec {
    let mut spec = spec(flags);
    spec.sharing = Sharing::PerSession { max };
    spec
}

/// Calls a tool in a conversation.
async fn tool(channel: &dyn Channel, conversation: &str, name: &str, arguments: Value) -> Result<Value> {
    let request = request(name, &arguments, TIMEOUT).conversation(conversation);
    match channel.call(request).await?.answer().await? {
        RpcResponse::Result(raw) => Ok(serde_json::from_slice(&raw).unwrap()),
        RpcResponse::Error(raw) => panic!("{raw:?}"),
    }
}

/// Counts one more in a conversation, and tells what came out.
async fn count(channel: &dyn Channel, conversation: &str) -> Result<String> {
    let result = tool(channel, conversation, "count", json!({"key": "k"})).await?;
    Ok(result["content"][0]["text"].as_str().unwrap().to_owned())
}

async fn pid(channel: &dyn Channel, conversation: &str) -> u32 {
    let result = tool(channel, conversation, "env", json!({})).await.unwrap();
    u32::try_from(result["structuredContent"]["pid"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn conversations_are_isolated() {
    let test_runtime = test_runtime();
    let common = test_runtime.ready(&per_session(3, &[])).await;
    let channel = test_runtime.channel().await;
    assert!(channel.isolates_conversations());
    for round in ["1", "2", "3"] {
        for conversation in ["a", "b", "c"] {
            assert_eq!(count(&*channel, conversation).await.unwrap(), round);
        }
    }
    let mut pids = vec![common];
    for conversation in ["a", "b", "c"] {
        pids.push(pid(&*channel, conversation).await);
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 4, "a process for each, and one for what belongs to none");
    let nobodys = test_runtime.call("count", json!({"key": "k"})).await.unwrap();
    assert_eq!(nobodys["content"][0]["text"], "1");
}

#[tokio::test]
async fn conversation_has_one_process() {
    let test_runtime = test_runtime();
    test_runtime.ready(&per_session(2, &[])).await;
    let channel = test_runtime.channel().await;
    let calls = (0..32).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move { count(&*channel, "a").await.unwrap() })
    });
    let mut counted = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        counted.push(call.await.unwrap().parse::<u32>().unwrap());
    }
    counted.sort_unstable();
    assert_eq!(counted, (1..=32).collect::<Vec<_>>());
}

#[tokio::test]
async fn conversation_limit() {
    let test_runtime = test_runtime();
    test_runtime.ready(&per_session(1, &[])).await;
    let channel = test_runtime.channel().await;
    let first = pid(&*channel, "a").await;
    let refused = count(&*channel, "b").await;
    assert!(matches!(refused, Err(Error::Exhausted { limit: 1, .. })), "{refused:?}");
    channel.end("a");
    channel.end("a");
    channel.end("never seen");
    eventually("its process is gone", async || !runs(first)).await;
    assert_eq!(count(&*channel, "b").await.unwrap(), "1");
}

#[tokio::test]
async fn idle_conversation_is_ended() {
    let test_runtime = test_runtime_with(|config| config.session_idle = Duration::from_millis(300));
    test_runtime.ready(&per_session(2, &[])).await;
    let channel = test_runtime.channel().await;
    let unused = pid(&*channel, "unused").await;
    let calling = channel.clone();
    let busy = tokio::spawn(async move { tool(&*calling, "busy", "sleep", json!({"ms": 1500})).await });
    eventually("the unused one is gone", async || !runs(unused)).await;
    busy.await.unwrap().expect("a call is waited for");
}

#[tokio::test]
async fn crashed_process_is_restarted() {
    let (test_runtime, ledger) = (test_runtime(), Ledger::new());
    test_runtime.ready(&per_session(2, &["--ledger", ledger.path()])).await;
    let channel = test_runtime.channel().await;
    count(&*channel, "a").await.unwrap();
    count(&*channel, "b").await.unwrap();
    let old = pid(&*channel, "a").await;
    let calling = channel.clone();
    let lost = tokio::spawn(async move { tool(&*calling, "a", "sleep", json!({"ms": 20_000})).await });
    ledger.begun(1).await;
    kill(old);
    assert!(matches!(lost.await.unwrap(), Err(Error::NotReady { .. })));
    assert_eq!(count(&*channel, "a").await.unwrap(), "1", "what it knew is lost");
    assert_eq!(count(&*channel, "b").await.unwrap(), "2");
    assert_ne!(pid(&*channel, "a").await, old);
}

#[tokio::test]
async fn log_has_all_processes() {
    use futures_util::StreamExt;
    let test_runtime = test_runtime();
    test_runtime.ready(&per_session(2, &[])).await;
    let channel = test_runtime.channel().await;
    for conversation in ["a", "b"] {
        let text = json!({"text": format!("written by {conversation}")});
        tool(&*channel, conversation, "stderr", text).await.unwrap();
    }
    eventually("both are there", async || {
        let lines = RuntimeLogs::logs(&test_runtime.runtime, &test_runtime.name, LogQuery::default());
        let lines: Vec<_> = lines.map(|line| line.unwrap().text).collect().await;
        ["written by a", "written by b"]
            .iter()
            .all(|text| lines.iter().any(|line| line == text))
    })
    .await;
}

/// Starts a deployment with the processes of two conversations.
async fn two_processes(test_runtime: &TestRuntime, flags: &[&str]) -> (Arc<dyn Channel>, [u32; 2]) {
    test_runtime.ready(&per_session(2, flags)).await;
    let channel = test_runtime.channel().await;
    let pids = [pid(&*channel, "a").await, pid(&*channel, "b").await];
    (channel, pids)
}

async fn gone(pids: [u32; 2]) {
    eventually("both are gone", async || !pids.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn removal_ends_all_processes() {
    let test_runtime = test_runtime();
    let (channel, pids) = two_processes(&test_runtime, &[]).await;
    test_runtime.runtime.remove(&test_runtime.name).await.unwrap();
    gone(pids).await;
    assert!(matches!(count(&*channel, "c").await, Err(Error::NotReady { .. })));
}

#[tokio::test]
async fn shutdown_ends_all_processes() {
    let test_runtime = test_runtime();
    let (channel, pids) = two_processes(&test_runtime, &[]).await;
    let common = test_runtime.runtime.pid(&test_runtime.name).unwrap();
    let begun = Instant::now();
    test_runtime.runtime.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(![common, pids[0], pids[1]].into_iter().any(runs));
    assert!(matches!(count(&*channel, "c").await, Err(Error::NotReady { .. })));
}

#[tokio::test]
async fn restart_and_replacement_drain_calls() {
    let (test_runtime, ledger) = (test_runtime(), Ledger::new());
    let (channel, pids) = two_processes(&test_runtime, &["--ledger", ledger.path()]).await;
    let calling = channel.clone();
    let sleeper = tokio::spawn(async move { tool(&*calling, "a", "sleep", json!({"ms": 600})).await });
    ledger.begun(1).await;
    let name: &InstallName = &test_runtime.name;
    RuntimeRestart::restart(&test_runtime.runtime, name, Restart::Graceful)
        .await
        .unwrap();
    assert_eq!(count(&*channel, "a").await.unwrap(), "1");
    sleeper.await.unwrap().expect("it had time to finish");
    gone(pids).await;

    let before = pid(&*channel, "a").await;
    test_runtime.ready(&per_session(3, &[])).await;
    eventually("the old one is gone", async || !runs(before)).await;
    assert_eq!(count(&*test_runtime.channel().await, "a").await.unwrap(), "1");
}

#[tokio::test]
async fn dropped_runtime_kills_conversations() {
    let test_runtime = test_runtime();
    let (channel, pids) = two_processes(&test_runtime, &[]).await;
    drop(test_runtime);
    gone(pids).await;
    assert!(count(&*channel, "a").await.is_err());
}
