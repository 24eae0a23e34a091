//! Many concurrent callers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use portolan_core::Channel;
use portolan_process::StdioServer;
use serde_json::json;

use crate::support::{Ledger, TIMEOUT, eventually, kill, serve, tool};

/// `count` calls by `callers` at once; each answer is checked to be its caller's own.
async fn echo_all(server: &Arc<StdioServer>, callers: u64, count: u64) -> usize {
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let server = server.clone();
            tokio::spawn(async move {
                let mut right = 0;
                for number in 0..count / callers {
                    let text = format!("{caller}/{number}");
                    let arguments = json!({"text": text, "also": [caller, number]});
                    let result = tool(&*server, "echo", arguments.clone(), TIMEOUT).await.unwrap();
                    assert_eq!(result["content"][0]["text"], text);
                    assert_eq!(result["structuredContent"], arguments);
                    right += 1;
                }
                right
            })
        })
        .collect();
    let mut right = 0;
    for task in tasks {
        right += task.await.unwrap();
    }
    right
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_responses_reach_64_callers() {
    let served = serve([]);
    served.server.handshake().await.unwrap();
    let begun = Instant::now();
    assert_eq!(echo_all(&served.server, 64, 20_032).await, 20_032);
    let rate = 20_032.0 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} calls a second, 64 callers, with checks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn out_of_order_responses() {
    let served = serve(["--out-of-order"]);
    assert_eq!(echo_all(&served.server, 64, 3200).await, 3200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_and_duplicate_ids_are_dropped() {
    let served = serve(["--wrong-id", "--duplicate-answers"]);
    assert_eq!(echo_all(&served.server, 32, 3200).await, 3200);
    assert_eq!(served.log().await, [""; 0], "they are messages, not junk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_under_load_repeats_nothing() {
    let ledger = Ledger::new();
    let served = serve(["--ledger", ledger.path()]);
    served.server.handshake().await.unwrap();
    let enough = Arc::new(AtomicBool::new(false));
    let killed = Arc::new(Mutex::new(Instant::now()));
    let tasks: Vec<_> = (0..32)
        .map(|caller| {
            let (server, enough, killed) = (served.server.clone(), enough.clone(), killed.clone());
            tokio::spawn(async move {
                let (mut done, mut failed) = (Vec::new(), 0);
                for number in 0.. {
                    if enough.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("{caller}/{number}");
                    match tool(&*server, "count", json!({"key": key}), TIMEOUT).await {
                        Ok(result) => {
                            assert_eq!(result["content"][0]["text"], "1", "{key}");
                            done.push(key);
                        }
                        Err(error) => {
                            assert!(error.is_retryable(), "{error}");
                            assert!(error.to_string().contains("signal 9"), "{error}");
                            let took = killed.lock().unwrap().elapsed();
                            assert!(took.as_millis() < 1000, "{took:?}");
                            failed += 1;
                        }
                    }
                }
                (done, failed)
            })
        })
        .collect();
    for run in 1..=4 {
        eventually("the next run", async || {
            served
                .server
                .handshake()
                .await
                .is_ok_and(|hello| hello.generation == run)
        })
        .await;
        let counted = || ledger.text().lines().filter(|line| line.starts_with("count ")).count();
        let before = counted();
        eventually("calls reach this run", async || counted() > before + 64).await;
        if run < 4 {
            *killed.lock().unwrap() = Instant::now();
            kill(served.server.pid().unwrap());
        }
    }
    enough.store(true, Ordering::Relaxed);
    let (mut done, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (keys, failures) = task.await.unwrap();
        done.extend(keys);
        failed += failures;
    }
    assert!(failed >= 3, "the kills hit nobody");
    assert!(failed <= 3 * 32, "a kill hits what is under way and nothing else");
    let ledger = ledger.text();
    let mut counted: Vec<_> = ledger.lines().filter_map(|line| line.strip_prefix("count ")).collect();
    let lines = counted.len();
    counted.sort_unstable();
    counted.dedup();
    assert_eq!(lines, counted.len(), "a call was sent twice");
    assert!(
        done.iter().all(|key| counted.binary_search(&key.as_str()).is_ok()),
        "a false success"
    );
    println!("{failed} calls failed, {lines} ran, {} were answered", done.len());
}
