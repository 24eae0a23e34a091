//! Guards see arguments and results, and can replace or refuse them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use portolan_core::{Guard, GuardContext, GuardDecision, Result};
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    upstreams::{Eras, http},
};

/// Refuses arguments and withholds results that contain a word, and replaces another word in both.
#[derive(Clone, Debug, Default)]
struct Words {
    results: bool,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Words {
    fn decide(&self, name: &str, json: &Bytes) -> GuardDecision {
        let text = String::from_utf8_lossy(json).into_owned();
        self.seen.lock().expect("no panic").push(format!("{name} {text}"));
        if text.contains("forbidden") {
            return GuardDecision::refuse("it says the word");
        }
        match text.contains("secret") {
            true => GuardDecision::Replace(text.replace("secret", "******").into()),
            false => GuardDecision::Pass,
        }
    }
}

#[async_trait::async_trait]
impl Guard for Words {
    fn name(&self) -> &str {
        "words"
    }

    async fn before(&self, context: &GuardContext<'_>, arguments: &Bytes) -> Result<GuardDecision> {
        assert!(context.request_id.is_some());
        Ok(self.decide(&format!("before {}", context.action.name()), arguments))
    }

    async fn after(&self, context: &GuardContext<'_>, result: &Bytes) -> Result<GuardDecision> {
        Ok(self.decide(&format!("after {}", context.action.name()), result))
    }

    fn needs_result(&self) -> bool {
        self.results
    }
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn arguments_are_replaced_or_refused() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (upstream, guard) = (http(eras).await, Words::default());
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .settings(|builder| builder.guard(guard.clone()))
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let answer = client.tool("up__echo", json!({"text": "a secret"})).await;
            assert_eq!(text(&answer), "a ******", "{answer}");
            let calls = upstream.counters().calls;
            let answer = client.tool("up__echo", json!({"text": "forbidden"})).await;
            assert_eq!(answer["result"]["isError"], true, "{answer}");
            assert!(text(&answer).contains("it says the word"), "{answer}");
            assert_eq!(upstream.counters().calls, calls, "the server was not called");
        }
        let seen = guard.seen.lock().expect("no panic").clone();
        assert!(seen.iter().all(|entry| entry.starts_with("before echo {")), "{seen:?}");
    }
}

#[tokio::test]
async fn results_are_replaced_or_withheld() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = http(eras).await;
        let guard = Words {
            results: true,
            ..Words::default()
        };
        // Only results are looked at: the words come from the server.
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .settings(|builder| builder.guard(ResultsOnly(guard.clone())))
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let answer = client.tool("up__echo", json!({"text": "a secret"})).await;
            assert_eq!(text(&answer), "a ******", "{answer}");
            let answer = client.tool("up__echo", json!({"text": "forbidden"})).await;
            assert_eq!(answer["result"]["isError"], true, "{answer}");
            assert!(!answer.to_string().contains("forbidden"), "{answer}");
        }
        // A result on an event stream is checked, too, and what comes before it passes.
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        let mut stream = client
            .begin(&client.request(
                "\"p\"",
                "tools/call",
                r#""name":"up__progress","arguments":{"steps":2}"#,
                r#""progressToken":"t""#,
            ))
            .await;
        let mut last = Value::Null;
        while let Some(event) = stream.event().await.expect("no break") {
            last = serde_json::from_str(&event).expect("JSON");
        }
        assert!(last.get("result").is_some(), "{last}");
        let seen = guard.seen.lock().expect("no panic").clone();
        assert!(
            seen.iter().any(|entry| entry.starts_with("after progress {")),
            "{seen:?}"
        );
    }
}

/// Passes all arguments.
#[derive(Clone, Debug)]
struct ResultsOnly(Words);

#[async_trait::async_trait]
impl Guard for ResultsOnly {
    fn name(&self) -> &str {
        "results"
    }

    async fn before(&self, _: &GuardContext<'_>, _: &Bytes) -> Result<GuardDecision> {
        Ok(GuardDecision::Pass)
    }

    async fn after(&self, context: &GuardContext<'_>, result: &Bytes) -> Result<GuardDecision> {
        self.0.after(context, result).await
    }

    fn needs_result(&self) -> bool {
        true
    }
}
