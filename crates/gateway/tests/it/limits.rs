//! Calls over a bound are refused, and not queued.

use crate::support::{
    client::ClientVersion,
    eventually, eventually_async,
    gateway::TestGateway,
    upstreams::{Eras, http},
};

#[tokio::test]
async fn excess_call_fails_retryable() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.limits.calls = 2)
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let before = upstream.counters().calls;
        let client = gateway.connect(version).await;
        let mut held = Vec::new();
        for id in ["1", "2"] {
            held.push(client.send_only(&client.call(id, "up__sleep", r#"{"ms":60000}"#)).await);
        }
        eventually("both are under way", || upstream.counters().calls == before + 2).await;
        let answer = client.send(&client.call("3", "up__echo", r#"{"text":"x"}"#)).await;
        let result = &answer.json()["result"];
        assert_eq!((answer.status(), &result["isError"]), (200, &true.into()));
        let failure = &result["_meta"]["dev.portolan/failure"];
        assert_eq!(
            (&failure["cause"], &failure["retryable"]),
            (&"overloaded".into(), &true.into())
        );
        assert!(
            result["content"][0]["text"]
                .as_str()
                .is_some_and(|text| text.contains("try again")),
            "{result}"
        );
        assert_eq!(
            client.call_method("tools/list", "").await.status(),
            200,
            "lists are no calls"
        );
        client.cancel("1").await;
        client.cancel("2").await;
        held.clear();
        // Both places are free again before the next client comes.
        eventually_async("both calls have ended", async || {
            let a = client.call("5", "up__sleep", r#"{"ms":1}"#);
            let b = client.call("6", "up__sleep", r#"{"ms":1}"#);
            let (a, b) = tokio::join!(client.send(&a), client.send(&b));
            [a, b]
                .iter()
                .all(|answer| answer.json()["result"].get("isError").is_none())
        })
        .await;
    }
}
