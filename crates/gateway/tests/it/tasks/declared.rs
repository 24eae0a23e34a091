//! Tasks are declared whichever servers are up: a session keeps what it was told, and a server may start later.

use portolan_gateway::Upstream;
use serde_json::{Value, json};

use super::with_tasks;
use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    upstreams::{Eras, HeldServer, everything_at},
};

const LEGACY: ClientVersion = ClientVersion::V2025_11_25;
const MODERN: ClientVersion = ClientVersion::V2026_07_28;

/// A client of this version, which was told of tasks.
async fn connect(gateway: &TestGateway, version: ClientVersion) -> Client {
    let mut client = gateway.client(version);
    let declared = match client.handshake().await {
        Some(initialized) => initialized.json()["result"]["capabilities"]["tasks"].clone(),
        None => {
            let discovered = client.result_of("server/discover", json!({})).await;
            discovered["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].clone()
        }
    };
    assert!(declared.is_object(), "{version:?}");
    client
}

/// Calls a tool as a task, and waits for its result.
async fn run_task(client: &Client) {
    let arguments = json!({"seconds": 0.05, "label": "x"});
    let params = json!({"name": "up__slow_compute", "arguments": arguments});
    let finished = match client.version {
        MODERN => run_modern(client, params).await,
        _ => run_legacy(client, params).await,
    };
    assert_eq!(finished["content"][0]["text"], "x: computed for 0.05 s", "{finished}");
}

async fn run_modern(client: &Client, params: Value) -> Value {
    let created = with_tasks(client, "tools/call", params).await;
    assert_eq!(created["result"]["resultType"], "task", "{created}");
    let id = json!({"taskId": created["result"]["taskId"]});
    let mut task = Value::Null;
    crate::support::eventually_async("the task is completed", async || {
        task = with_tasks(client, "tasks/get", id.clone()).await;
        task["result"]["status"] == "completed"
    })
    .await;
    task["result"]["result"].clone()
}

async fn run_legacy(client: &Client, mut params: Value) -> Value {
    params["task"] = json!({"ttl": 60_000});
    let created = client.response_to("tools/call", params).await;
    let task = &created["result"]["task"];
    assert_eq!(task["status"], "working", "{created}");
    client
        .result_of("tasks/result", json!({"taskId": task["taskId"]}))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_while_stdio_server_starts() {
    for (era, versions) in [("legacy", &[LEGACY, MODERN][..]), ("modern", &[MODERN])] {
        let server = HeldServer::start(era);
        let gateway = TestGateway::builder()
            .upstream("up", Upstream::channel(server.channel()))
            .start()
            .await;
        let mut clients = Vec::new();
        for version in [LEGACY, MODERN] {
            clients.push(connect(&gateway, version).await);
        }
        server.release();
        for client in clients.iter().filter(|client| versions.contains(&client.version)) {
            run_task(client).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_while_http_server_is_down() {
    for (eras, versions) in [(Eras::Legacy, &[LEGACY, MODERN][..]), (Eras::Modern, &[MODERN])] {
        let port = free_port().await;
        let gateway = TestGateway::with_server(format!("http://127.0.0.1:{port}/mcp")).await;
        let mut clients = Vec::new();
        for version in [LEGACY, MODERN] {
            let client = connect(&gateway, version).await;
            let failed = client.tool("up__slow_compute", json!({})).await;
            assert!(
                failed["error"].is_object() || failed["result"]["isError"] == true,
                "{failed}"
            );
            clients.push(client);
        }
        let _server = everything_at(port, eras).await;
        for client in clients.iter().filter(|client| versions.contains(&client.version)) {
            run_task(client).await;
        }
    }
}

/// A port that nobody listens on.
async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
}
