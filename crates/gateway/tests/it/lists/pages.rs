//! Pages and cursors.

use std::{collections::BTreeSet, time::Duration};

use portolan_gateway::TokenKeys;

use super::tool;
use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    upstreams::{Eras, http},
};

async fn pages(client: &Client) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = client.call_method("tools/list", &cursor).await.json();
        let tools = answer["result"]["tools"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        names.extend(
            tools
                .iter()
                .map(|tool| tool["name"].as_str().expect("a name").to_owned()),
        );
        match answer["result"].get("nextCursor") {
            Some(next) => cursor = format!(r#""cursor":{next}"#),
            None => return names,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_stable_while_growing() {
    for version in ClientVersion::EACH_ERA {
        let upstream = http(Eras::Both).await;
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| {
                config.limits.page = 3;
                config.timeouts.list_age = Duration::ZERO;
            })
            .start()
            .await;
        let client = gateway.connect(version).await;
        let names = pages(&client).await;
        assert!(names.is_sorted() && names.len() >= 8);
        let (mut seen, mut cursor, mut added) = (Vec::new(), String::new(), 0);
        loop {
            let answer = client.call_method("tools/list", &cursor).await.json();
            let tools = answer["result"]["tools"].as_array().expect("tools");
            assert!(tools.len() <= 3);
            seen.extend(
                tools
                    .iter()
                    .map(|tool| tool["name"].as_str().expect("a name").to_owned()),
            );
            if added < 4 {
                added += 1;
                // Before and after the place of the cursor.
                upstream.behave(|behaviour| {
                    behaviour
                        .extra_tools
                        .extend([tool(&format!("a{added}")), tool(&format!("z{added}"))])
                });
            }
            match answer["result"].get("nextCursor") {
                Some(next) => cursor = format!(r#""cursor":{next}"#),
                None => break,
            }
        }
        for name in &names {
            assert_eq!(seen.iter().filter(|known| *known == name).count(), 1, "{name}");
        }
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_is_bound_to_gateway() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .published_as(["default", "other"])
        .config(|config| config.limits.page = 3)
        .parts(|parts| parts.keys = TokenKeys::new(1, &[1; 32]).expect("keys"))
        .start()
        .await;
    let foreign = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let cursor = client.call_method("tools/list", "").await.json()["result"]["nextCursor"]
            .as_str()
            .expect("a cursor")
            .to_owned();
        assert!(!cursor.contains("up__"));
        let params = format!(r#""cursor":"{cursor}""#);
        assert_eq!(
            client.call_method("tools/list", &params).await.json()["result"]["tools"]
                .as_array()
                .map(Vec::len),
            Some(3)
        );
        for at in [0, cursor.len() / 2, cursor.len() - 1] {
            let mut tampered = cursor.clone().into_bytes();
            tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
            let params = format!(r#""cursor":"{}""#, String::from_utf8(tampered).expect("ASCII"));
            let answer = client.call_method("tools/list", &params).await;
            assert_eq!((answer.status(), answer.code()), (200, -32602));
        }
        if let Some(session) = &client.session {
            assert_eq!(
                client
                    .call_method("tools/list", &format!(r#""cursor":"{session}""#))
                    .await
                    .code(),
                -32602,
                "a session is no cursor"
            );
        }
        let mut other = gateway.client(version).gateway("other");
        other.handshake().await;
        assert_eq!(other.call_method("tools/list", &params).await.code(), -32602);
        let elsewhere = foreign.connect(version).await;
        assert_eq!(elsewhere.call_method("tools/list", &params).await.code(), -32602);
    }
}
