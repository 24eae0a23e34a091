//! Logs and commands.

use std::time::Duration;

use futures_util::StreamExt;
use portolan_core::{LogQuery, Restart, Runtime, RuntimeExec, RuntimeLogs, RuntimeRestart};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    sandbox::{ready, with_sandbox},
    servers,
};

/// A script that counts and serves HTTP.
const COUNTER: &str = "echo begun; httpd -p 8080 -h /tmp; trap 'echo bye; exit 0' TERM; i=0; \
                       while true; do i=$((i+1)); echo line $i; sleep 0.2; done";

#[tokio::test(flavor = "multi_thread")]
async fn followed_log_continues_in_next_pod() {
    with_sandbox("logs", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::script(COUNTER)).await;
        let query = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        let mut log = RuntimeLogs::logs(&runtime, &name, query);
        let mut lines = Vec::new();
        let mut read = async |wait_for_status: &str, times: usize| {
            let reading = async {
                while lines.iter().filter(|line: &&String| *line == wait_for_status).count() < times {
                    lines.push(log.next().await.expect("it goes on").expect("a line").text);
                }
            };
            tokio::time::timeout(Duration::from_secs(60), reading)
                .await
                .expect("in time");
        };
        read("line 5", 1).await;
        RuntimeRestart::restart(&runtime, &name, Restart::Graceful)
            .await
            .expect("restart");
        read("begun", 2).await;
        read("line 5", 2).await;
        runtime.remove(&name).await.expect("remove");
        let rest = async { while log.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(30), rest)
            .await
            .expect("it ends with the deployment");
        // Each line of the first pod once, in order.
        let second = lines.iter().rposition(|line| line == "begun").expect("it began again");
        let counted: Vec<_> = lines[..second]
            .iter()
            .filter_map(|line| line.strip_prefix("line ")?.parse::<u32>().ok())
            .collect();
        assert!(counted.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{counted:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_ends() {
    with_sandbox("tail", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::script(COUNTER)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let tail = |tail| {
            let query = LogQuery {
                tail: Some(tail),
                ..LogQuery::default()
            };
            RuntimeLogs::logs(&runtime, &name, query).collect::<Vec<_>>()
        };
        let lines = tail(2).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.as_ref().is_ok_and(|line| line.text.starts_with("line "))),
            "{lines:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_has_three_streams() {
    with_sandbox("exec", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::script(COUNTER)).await;
        let command = ["sh", "-c", "echo to err >&2; cat"].map(String::from);
        let mut streams = RuntimeExec::exec(&runtime, &name, &command).await.expect("exec");
        let text = "x".repeat(300_000);
        let write = async {
            streams.stdin.write_all(text.as_bytes()).await.expect("written");
            streams.stdin.shutdown().await.expect("closed");
        };
        let mut out = String::new();
        let read = streams.stdout.read_to_string(&mut out);
        let both = async { tokio::join!(write, read) };
        tokio::time::timeout(Duration::from_secs(20), both)
            .await
            .expect("in time")
            .1
            .expect("read");
        assert_eq!(out.len(), text.len());
        let mut errors = String::new();
        streams.stderr.read_to_string(&mut errors).await.expect("read");
        assert_eq!(errors, "to err\n");
    })
    .await;
}
