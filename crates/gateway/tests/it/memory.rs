//! Sessions leave no memory behind.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use peak_alloc::PeakAlloc;
use portolan_core::{
    Clock, SessionStore, SystemClock,
    memory::{ManualClock, MemorySessions},
};

use crate::support::{eventually, gateway::TestGateway};

/// Counts what is in use. How much of what was given back the allocator keeps for later is its own affair: after such a
/// round, glibc keeps most of it until `malloc_trim`.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
const KIB: usize = 1 << 10;
const SESSIONS: usize = 100_000;

/// The resident memory of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a statm");
    let pages: usize = statm.split(' ').nth(1).expect("a field").parse().expect("a number");
    pages * 4096
}

/// In a process of its own, since other tests use memory too.
#[test]
fn sessions_do_not_leak() {
    let test = std::env::current_exe().expect("this test");
    let output = std::process::Command::new(test)
        .args(["--ignored", "--exact", "memory::measure_in_own_process", "--nocapture"])
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{}", said.lines().find(|line| line.contains("MiB")).unwrap_or_default());
}

struct Measured {
    gateway: TestGateway,
    clock: Arc<ManualClock>,
    store: Arc<MemorySessions>,
}

impl Measured {
    async fn send(&self, verb: &str, session: Option<&str>, body: &'static str) -> (StatusCode, Option<String>) {
        let mut request = Request::builder()
            .method(verb)
            .uri("/mcp/default")
            .header("host", "localhost")
            .header("authorization", "Bearer alice-token")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        let request = request
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .expect("a request");
        let response = self.gateway.respond(request).await;
        let session = response.headers().get("mcp-session-id");
        let session = session.map(|value| value.to_str().expect("ASCII").to_owned());
        (response.status(), session)
    }

    async fn open(&self) -> String {
        let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
        self.send("POST", None, body).await.1.expect("a session")
    }

    /// Opens sessions, of which some listen; half of them are ended, and half forgotten.
    async fn round(&self, count: usize) -> (usize, usize) {
        let mut ids = Vec::with_capacity(count);
        for at in 0..count {
            let id = self.open().await;
            if at % 100 == 0 {
                let body = r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}"#;
                assert_eq!(self.send("POST", Some(&id), body).await.0, 200);
                // The stream is closed at once.
                assert_eq!(self.send("GET", Some(&id), "").await.0, 200);
            }
            ids.push(id);
        }
        assert_eq!(self.gateway.session_count(), count);
        let most = (ALLOCATED.current_usage(), resident());
        for id in &ids[..count / 2] {
            assert_eq!(self.send("DELETE", Some(id), "").await.0, 204);
        }
        drop(ids);
        self.clock.advance(Duration::from_secs(31 * 60));
        self.open().await;
        assert_eq!(self.gateway.session_count(), 1);
        // That a session was ended is remembered as long as its id would be good.
        self.clock.advance(Duration::from_secs(25 * 3600));
        self.open().await;
        self.store.sweep(self.clock.now()).await.expect("swept");
        self.clock.advance(Duration::from_secs(31 * 60));
        eventually("all are forgotten, although nobody comes any more", || {
            self.gateway.session_count() == 0
        })
        .await;
        assert_eq!(self.gateway.stream_count(), 0);
        most
    }
}

#[tokio::test]
#[ignore = "run by sessions_do_not_leak"]
async fn measure_in_own_process() {
    let (clock, store) = (
        Arc::new(ManualClock::new(SystemClock.now())),
        Arc::new(MemorySessions::new()),
    );
    let gateway = TestGateway::builder()
        .clock(clock.clone())
        .parts(|parts| parts.sessions = store.clone())
        .config(|config| config.limits.sessions = 2 * SESSIONS)
        .start()
        .await;
    let measured = Measured { gateway, clock, store };
    measured.round(1000).await;
    let (before, settled) = (ALLOCATED.current_usage(), resident());
    let (most, resident_most) = measured.round(SESSIONS).await;
    let after = ALLOCATED.current_usage();
    println!(
        "{} KiB in use before, {} MiB with {SESSIONS} sessions, {} KiB after; resident: {} MiB, {} MiB, {} MiB",
        before / KIB,
        most / MIB,
        after / KIB,
        settled / MIB,
        resident_most / MIB,
        resident() / MIB,
    );
    assert!(after < before + MIB / 2, "{before} {most} {after}");
}
