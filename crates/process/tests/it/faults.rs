//! Servers that misbehave.

use std::time::{Duration, Instant};

use portolan_core::{Channel, Error, FailureKind, LogQuery};
use serde_json::json;

use crate::support::{failure, log, request, serve, serve_with};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn result_of_16_mib() {
    let served = serve([]);
    assert_eq!(served.text("big", json!({"bytes": 16 * MIB})).await.len(), 16 * MIB);
}

#[tokio::test]
async fn oversized_result_fails_its_call_alone() {
    let served = serve([]);
    let sleeper = served.begin("sleep", json!({"ms": 300})).await;
    let pid = served.server.pid();
    let too_big = failure(served.tool("big", json!({"bytes": 33 * MIB})).await);
    assert_eq!(too_big.kind, FailureKind::Protocol);
    assert!(too_big.message.contains("larger than 32 MiB"), "{too_big}");
    sleeper.answer().await.unwrap();
    assert_eq!(served.text("echo", json!({"text": "on"})).await, "on");
    assert_eq!(served.server.pid(), pid);
}

#[tokio::test]
async fn single_byte_writes() {
    let served = serve(["--byte-at-a-time"]);
    let text = "ä".repeat(500);
    assert_eq!(served.text("echo", json!({"text": text})).await, text);
}

#[tokio::test]
async fn junk_lines_are_logged() {
    let served = serve(["--junk"]);
    for number in 0..100 {
        let text = number.to_string();
        assert_eq!(served.text("echo", json!({"text": text})).await, text);
    }
    let log = served.log().await;
    assert!(log.iter().any(|line| line == "Debugger attached."), "{log:?}");
    assert!(log.iter().any(|line| line.contains("\u{fffd}")));
    assert!(
        log.iter().all(|line| !line.contains("structuredContent")),
        "a message was logged"
    );
}

#[tokio::test]
async fn log_is_bounded() {
    let served = serve(["--flood-stderr"]);
    for number in 0..500 {
        let text = number.to_string();
        assert_eq!(served.text("echo", json!({"text": text})).await, text);
    }
    let log = served.log().await;
    assert!((100..=1000).contains(&log.len()), "{}", log.len());
    assert!(log.iter().map(String::len).sum::<usize>() <= 256 << 10);
}

#[tokio::test]
async fn unread_input_is_bounded() {
    let served = serve_with(["--stop-reading"], |config| config.limits.queue_bytes = MIB);
    served.server.handshake().await.unwrap();
    let arguments = json!({"text": "x".repeat(100_000)});
    let begun = Instant::now();
    let (mut late, mut refused, mut waiting) = (0, 0, Vec::new());
    for _ in 0..30 {
        match served
            .server
            .call(request("echo", &arguments, Duration::from_millis(500)))
            .await
        {
            Ok(exchange) => waiting.push(exchange),
            Err(Error::Exhausted { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    for exchange in waiting {
        assert!(matches!(exchange.answer().await, Err(Error::Timeout { .. })));
        late += 1;
    }
    assert!(late >= 9 && refused >= 15, "{late} late, {refused} refused");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn call_limit() {
    let served = serve_with([], |config| config.limits.calls = 8);
    let mut sleepers = Vec::new();
    for _ in 0..8 {
        sleepers.push(served.begin("sleep", json!({"ms": 300})).await);
    }
    let refused = served.tool("echo", json!({})).await;
    assert!(matches!(refused, Err(Error::Exhausted { limit: 8, .. })), "{refused:?}");
    for sleeper in sleepers {
        sleeper.answer().await.unwrap();
    }
    served.tool("echo", json!({})).await.unwrap();
}

#[tokio::test]
async fn log_lines_are_cut_and_followed() {
    use futures_util::StreamExt;
    let served = serve([]);
    served.text("stderr", json!({"text": "y".repeat(20_000)})).await;
    let query = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut lines = served.server.logs(&query);
    let cut = lines.next().await.unwrap().unwrap();
    assert_eq!(cut.text.chars().count(), 8193);
    served.text("stderr", json!({"text": "later"})).await;
    assert_eq!(lines.next().await.unwrap().unwrap().text, "later");
    let tail = LogQuery {
        tail: Some(1),
        ..LogQuery::default()
    };
    assert_eq!(log(&served.server, tail).await, ["later"]);
}
