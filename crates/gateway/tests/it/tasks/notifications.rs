//! Tasks of which clients are told as they change.

use portolan_gateway::Upstream;
use serde_json::{Value, json};

use super::{TASKS, with_tasks};
use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    upstreams::{Eras, everything},
};

async fn create(client: &Client, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {"filename": "f"}});
    let created = with_tasks(client, "tools/call", params).await["result"].clone();
    assert_eq!(created["resultType"], "task", "{created}");
    created["taskId"].clone()
}

#[tokio::test]
async fn listener_gets_task_status() {
    let (first, second) = (everything(Eras::Modern).await, everything(Eras::Modern).await);
    let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, TASKS).await;
    client.tools().await;
    let (mine, other) = (
        create(&client, "a__confirm_delete").await,
        create(&client, "b__confirm_delete").await,
    );
    let unheard = create(&client, "a__confirm_delete").await;
    let filter = format!(r#""toolsListChanged":true,"taskIds":[{mine},{other},"nobody's"]"#);
    let (mut stream, first) = client.listen("\"l\"", &filter).await;
    let agreed = first["params"]["notifications"]["taskIds"]
        .as_array()
        .expect("tasks")
        .clone();
    assert_eq!(agreed.len(), 2, "{first}");
    assert!(agreed.contains(&mine) && agreed.contains(&other));
    for id in [&unheard, &mine, &other] {
        let answer = json!({"confirm": {"action": "accept", "content": {"confirm": true}}});
        with_tasks(&client, "tasks/update", json!({"taskId": id, "inputResponses": answer})).await;
        if id == &unheard {
            continue;
        }
        // Of steps in between one need not hear, of the end one does.
        loop {
            let told = stream.json().await;
            assert_eq!(told["method"], "notifications/tasks", "{told}");
            let params = &told["params"];
            assert_eq!(
                (
                    &params["taskId"],
                    &params["_meta"]["io.modelcontextprotocol/subscriptionId"]
                ),
                (id, &json!("l"))
            );
            if params["status"] == "completed" {
                assert!(params["result"]["content"].is_array(), "{told}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn task_notifications_need_capability() {
    let server = everything(Eras::Modern).await;
    let gateway = TestGateway::builder().server("a", server.url()).start().await;
    let alice = gateway.connect_with(ClientVersion::V2026_07_28, TASKS).await;
    let id = create(&alice, "a__confirm_delete").await;
    let filter = format!(r#""notifications":{{"taskIds":[{id}]}}"#);
    let ignorant = gateway.connect(ClientVersion::V2026_07_28).await;
    let refused = ignorant.call_method("subscriptions/listen", &filter).await;
    assert_eq!((refused.status(), refused.code()), (400, -32021));
    let odd = alice
        .call_method("subscriptions/listen", r#""notifications":{"taskIds":"x"}"#)
        .await;
    assert_eq!(odd.code(), -32602);
    let bob = gateway
        .connect_with(ClientVersion::V2026_07_28, TASKS)
        .await
        .token("bob-token");
    let (_stream, first) = bob.listen("1", &format!(r#""taskIds":[{id}]"#)).await;
    assert!(first["params"]["notifications"].get("taskIds").is_none(), "{first}");
}
