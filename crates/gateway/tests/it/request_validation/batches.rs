//! Batches, which 2025-03-26 alone has.

use serde_json::{Value, json};

use super::{refused, start};
use crate::support::client::ClientVersion;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_only_in_2025_03_26() {
    let (upstream, gateway) = start().await;
    let call = |id: &str, tool: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":{id}}}}}}}"#
        )
    };
    let batch = [
        call("1", "up__echo", r#"{"text":"a"}"#),
        r#"{"jsonrpc":"2.0","method":"notifications/odd"}"#.into(),
        call(r#""1""#, "up__fail", "{}"),
        call("3", "up__nope", "{}"),
        call("1", "up__echo", r#"{"text":"an id twice at once"}"#),
        call("4", "up__rpc_error", r#"{"code":77}"#),
        r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#.into(),
        r#"{"jsonrpc":"2.0","id":6,"method":"odd"}"#.into(),
        call("7", "up__progress", r#"{"steps":2}"#),
        r#"{"jsonrpc":"2.0","id":99,"result":{}}"#.into(),
        r#"{"jsonrpc":"2.0","id":8,"method":"tools/list"}"#.into(),
        r#"{"jsonrpc":"2.0","id":9,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}"#.into(),
    ];
    let text = format!("[{}]", batch.join(","));
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        let answer = client.send(&client.post(text.clone())).await;
        if version != ClientVersion::V2025_03_26 {
            refused(&answer, 400, -32600, Value::Null, "a batch");
            continue;
        }
        assert_eq!(answer.status(), 200);
        let Value::Array(answers) = answer.json() else {
            panic!("{answer:?}")
        };
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(
            ids,
            [
                json!(1),
                json!("1"),
                json!(3),
                json!(1),
                json!(4),
                json!(5),
                json!(6),
                json!(7),
                json!(8),
                json!(9)
            ]
        );
        assert_eq!(answers[0]["result"]["content"][0]["text"], "a");
        assert_eq!(answers[1]["result"]["isError"], true);
        let codes: Vec<_> = answers
            .iter()
            .map(|answer| answer["error"]["code"].as_i64().unwrap_or_default())
            .collect();
        assert_eq!(codes, [0, 0, -32602, -32602, 77, 0, -32601, 0, 0, -32601]);
        assert_eq!(answers[7]["result"]["content"][0]["text"], "2 steps done");
        assert!(answers[8]["result"]["tools"].is_array());
        // Only what wants no answer.
        let quiet = client
            .send(
                &client
                    .post(r#"[{"jsonrpc":"2.0","method":"notifications/odd"},{"jsonrpc":"2.0","id":1,"result":{}}]"#),
            )
            .await;
        assert_eq!((quiet.status(), quiet.body.len()), (202, 0));
        refused(
            &client.send(&client.post("[]")).await,
            400,
            -32600,
            Value::Null,
            "an empty batch",
        );
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let long = format!("[{}]", vec![ping; 51].join(","));
        refused(
            &client.send(&client.post(long)).await,
            400,
            -32600,
            Value::Null,
            "a long batch",
        );
        let broken = format!("[{ping},{{}}]");
        assert_eq!(client.send(&client.post(broken)).await.status(), 400);
    }
    let stranger = gateway.client(ClientVersion::V2025_03_26);
    refused(
        &stranger.send(&stranger.post(text)).await,
        400,
        -32600,
        Value::Null,
        "a batch without a session",
    );
    assert_eq!(upstream.count("k"), 0);
}
