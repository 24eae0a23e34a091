//! Stdio servers that hold the state of conversations: each has a process of its own.

use std::sync::Arc;

use portolan_core::{Owner, Route, RunSpec, Runtime, ServerSpec, Sharing, memory::MemoryCredentials};
use portolan_process::{ProcessConfig, ProcessRuntime};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    client::{Client, ClientVersion},
    gateway::{TestGateway, install},
    upstreams::program,
};

struct Setup {
    gateway: TestGateway,
    _runtime: Arc<ProcessRuntime>,
    _dir: TempDir,
}

/// A gateway in front of a server that counts, of which at most `max` conversations have a process.
async fn setup(era: &str, max: u16) -> Setup {
    let dir = tempfile::tempdir().expect("a directory");
    let config = ProcessConfig::new(dir.path().join("private"));
    let runtime = Arc::new(ProcessRuntime::new(config, Arc::new(MemoryCredentials::new())));
    let mut server = ServerSpec::command("up", program(), ["--era", era]).expect("a server");
    server.sharing = Sharing::PerSession { max };
    let server = Arc::new(server);
    let installed = install(&server, Owner::Org);
    let mut spec = RunSpec::new(server.name.clone(), Owner::Org, server.source.clone());
    spec.sharing = server.sharing;
    runtime.ensure(&installed.name, &spec).await.expect("ensured");
    let gateway = TestGateway::builder()
        .unpublished()
        .runtime(runtime.clone())
        .start()
        .await;
    let route = Route::new(server, vec![installed], true);
    gateway.publish_routes("default", vec![route]).await;
    Setup {
        gateway,
        _runtime: runtime,
        _dir: dir,
    }
}

async fn count(client: &Client) -> String {
    client.text("up__count", json!({"key": "k"})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_session_has_own_process() {
    for era in ["legacy", "modern"] {
        let setup = setup(era, 8).await;
        let address = setup.gateway.address;
        let one = Client::connect(address, ClientVersion::V2025_11_25).await;
        let other = Client::connect(address, ClientVersion::V2025_06_18).await;
        let alice = Client::new(address, ClientVersion::V2026_07_28);
        let bob = Client::new(address, ClientVersion::V2026_07_28).token("bob-token");
        for round in ["1", "2", "3"] {
            for client in [&one, &other, &alice, &bob] {
                assert_eq!(count(client).await, round, "{era}");
            }
        }
        let again = Client::new(address, ClientVersion::V2026_07_28);
        assert_eq!(
            count(&again).await,
            "4",
            "a caller without sessions is one conversation"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_session_frees_process() {
    let setup = setup("legacy", 1).await;
    let address = setup.gateway.address;
    let first = Client::connect(address, ClientVersion::V2025_11_25).await;
    assert_eq!(count(&first).await, "1");
    let second = Client::connect(address, ClientVersion::V2025_11_25).await;
    let refused = second.tool("up__count", json!({"key": "k"})).await["result"].clone();
    assert_eq!(refused["isError"], true, "{refused}");
    assert!(
        refused["content"][0]["text"]
            .as_str()
            .expect("a text")
            .contains("conversations"),
        "{refused}"
    );
    let ended = first.delete().await;
    assert!(ended.status() < 300, "{}", ended.status());
    assert_eq!(count(&second).await, "1");
}
