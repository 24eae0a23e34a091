//! Tasks (SEP-2663): from servers to clients that know them.

use portolan_gateway::Upstream;
use serde_json::json;

use super::with_tasks;
use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    upstreams::{Eras, everything},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_is_bound_to_caller() {
    let (first, second) = (everything(Eras::Modern).await, everything(Eras::Both).await);
    let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    let alice = gateway.connect(ClientVersion::V2026_07_28).await;
    alice.tools().await;
    let discovered = alice.result_of("server/discover", json!({})).await;
    assert_eq!(
        discovered["capabilities"]["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
    for tool in ["a__slow_compute", "b__slow_compute"] {
        let params = json!({"name": tool, "arguments": {"seconds": 1, "label": "x"}});
        let created = with_tasks(&alice, "tools/call", params).await["result"].clone();
        assert_eq!(created["resultType"], "task", "{created}");
        let id = json!({"taskId": created["taskId"]});
        let task = with_tasks(&alice, "tasks/get", id.clone()).await;
        assert!(task["result"].is_object(), "{task}");
        let task = task["result"].clone();
        assert_eq!(
            (&task["taskId"], &task["resultType"]),
            (&id["taskId"], &json!("complete")),
            "{task}"
        );
        let bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
        let odd = json!({"taskId": "nobody's"});
        for refused in [
            with_tasks(&bob, "tasks/get", id.clone()).await,
            with_tasks(&alice, "tasks/get", odd).await,
        ] {
            assert_eq!(
                (&refused["error"]["code"], &refused["error"]["message"]),
                (&json!(-32602), &json!("unknown task"))
            );
        }
        // Who does not know tasks has none.
        let post = alice.request("7", "tasks/get", &format!(r#""taskId":{}"#, id["taskId"]), "");
        let refused = alice
            .send(&post.with("mcp-name", id["taskId"].as_str().expect("an id")))
            .await;
        assert_eq!((refused.status(), refused.code()), (400, -32021));
        let ack = with_tasks(&alice, "tasks/cancel", id).await;
        assert_eq!(ack["result"]["resultType"], "complete", "{ack}");
    }
}
