//! Servers of a host process that ends without running its code, as the crate docs describe it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use portolan_core::{Channel, InstallName, Runtime, Status, SystemClock, memory::MemoryCredentials};
use portolan_process::{ProcessConfig, ProcessRuntime, StdioServer};
use tempfile::TempDir;

use crate::{
    runtime::{free_port, http_spec},
    support::{TIMEOUT, config, eventually, fixture, kill, runs},
    test_runtime::test_runtime_with,
};

/// The variables that name the host's directory, the port of a server that is reached by HTTP, and the grace.
const DIR: &str = "PORTOLAN_TEST_HOST_DIR";
const PORT: &str = "PORTOLAN_TEST_HOST_PORT";
const GRACE: &str = "PORTOLAN_TEST_HOST_GRACE_MS";

/// A host of three servers: one that heeds the end of its input, one that ignores it and has a helper in a session of
/// its own, and one that ignores SIGTERM too.
struct Host {
    dir: TempDir,
    child: Child,
    pids: Vec<u32>,
}

impl Host {
    /// Starts this test program as a host whose steps of a stop take `grace_ms` each.
    async fn start(grace_ms: u64) -> Self {
        Self::start_with(grace_ms, 0).await
    }

    /// Starts it with one more server, which is reached by HTTP on `port` unless that is 0.
    async fn start_with(grace_ms: u64, port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "host_exit::host_program"])
            .env(DIR, dir.path())
            .env(GRACE, grace_ms.to_string())
            .env(PORT, port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut host = Self {
            dir,
            child,
            pids: Vec::new(),
        };
        let ready = host.dir.path().join("ready");
        eventually("the servers run", async || ready.exists()).await;
        host.pids = ["heeding", "lingering", "helper", "stubborn"]
            .iter()
            .map(|name| pid(&host.dir.path().join(name)))
            .collect();
        host
    }

    fn private(&self) -> PathBuf {
        self.dir.path().join("private")
    }

    fn kill(&mut self) {
        kill(self.child.id());
        self.child.wait().unwrap();
    }

    /// Kills its watchdog too, as an out-of-memory kill of the whole group of processes may.
    fn kill_with_watchdog(&mut self) {
        let host = self.child.id();
        let watchdogs = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).into_owned();
            let is_its = words.contains("portolan-watchdog") && words.contains(&format!("{host}-"));
            is_its.then_some(pid)
        });
        let watchdogs: Vec<u32> = watchdogs.collect();
        assert_eq!(watchdogs.len(), 1, "one for all its servers");
        watchdogs.into_iter().for_each(kill);
        self.kill();
    }

    fn left(&self) -> Vec<u32> {
        self.pids.iter().copied().filter(|pid| runs(*pid)).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.left().into_iter().for_each(kill);
    }
}

fn pid(file: &Path) -> u32 {
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test that starts this one says what it shall do"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
#[ignore = "run by the tests of this module"]
async fn host_program() {
    let Some(dir) = variable(DIR) else { return };
    let dir = Path::new(&dir);
    let grace = std::time::Duration::from_millis(variable(GRACE).unwrap().parse().unwrap());
    let config = ProcessConfig::new(dir.join("private")).with_stop_grace(grace);
    let helper = dir.join("helper");
    let servers = [
        ("heeding", vec![]),
        ("lingering", vec!["--linger", "--helper", helper.to_str().unwrap()]),
        ("stubborn", vec!["--linger", "--ignore-sigterm"]),
    ];
    let servers = servers.map(|(name, flags)| (name, StdioServer::start(name, fixture(flags), &config)));
    for (name, server) in &servers {
        server.handshake().await.unwrap();
        std::fs::write(dir.join(name), server.pid().unwrap().to_string()).unwrap();
    }
    let port: u16 = variable(PORT).unwrap().parse().unwrap();
    let runtime = ProcessRuntime::new(config, Arc::new(MemoryCredentials::new()));
    if port != 0 {
        let name = InstallName::new(&SystemClock);
        runtime.ensure(&name, &http_spec(port)).await.unwrap();
        eventually("the port is open", async || runtime.endpoint(&name).await.is_ok()).await;
    }
    std::fs::write(dir.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn watchdog_ends_servers_of_killed_host() {
    let mut host = Host::start(1000).await;
    host.kill();
    eventually("nothing is left", async || host.left().is_empty()).await;
}

#[tokio::test]
async fn next_start_ends_orphans() {
    let mut host = Host::start(600_000).await;
    host.kill_with_watchdog();
    let heeding = host.pids[0];
    eventually("the server that heeds its input ends", async || !runs(heeding)).await;
    assert_eq!(host.left(), host.pids[1..], "the others go on");
    let records = host.private().join("hosts");
    assert_eq!(std::fs::read_dir(&records).unwrap().count(), 1);
    let config = ProcessConfig::new(host.private()).with_stop_grace(std::time::Duration::from_secs(1));
    let server = StdioServer::start("next", fixture([]), &config);
    server.handshake().await.unwrap();
    assert_eq!(host.left(), [0; 0], "they ended before the next one started");
    let names = std::fs::read_dir(host.private()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let private = format!("next.{}.", std::process::id());
    assert_eq!(
        (names.len(), &*names[0]),
        (2, "hosts"),
        "private directories are removed: {names:?}"
    );
    assert!(names[1].starts_with(&private), "{names:?}");
    server.stop(std::time::Duration::ZERO).await;
    eventually("the record of this host is gone", async || !records.exists()).await;
}

#[tokio::test]
async fn orphan_frees_its_port() {
    let port = free_port();
    let mut host = Host::start_with(600_000, port).await;
    let cleanup = [false, true].map(|cleanup| {
        test_runtime_with(|config| {
            config.base_dir = host.private();
            config.orphan_cleanup = cleanup;
        })
    });
    cleanup[0].ensure(&http_spec(port)).await;
    let runs_still = failure_of(cleanup[0].settled().await);
    let words = format!("a server of the host process {}, which runs", host.child.id());
    assert!(runs_still.message.contains(&words), "{runs_still:?}");
    host.kill_with_watchdog();
    let blind = test_runtime_with(|config| config.orphan_cleanup = false);
    blind.ensure(&http_spec(port)).await;
    let left = failure_of(blind.settled().await);
    let words = format!("left behind by the host process {}", host.child.id());
    assert!(left.message.contains(&words), "{left:?}");
    assert!(left.remedy.unwrap_or_default().contains("kill "));
    cleanup[1].ready(&http_spec(port)).await;
    assert_eq!(host.left(), [0; 0]);
}

fn failure_of(status: Status) -> portolan_core::Failure {
    match status {
        Status::Failed { failure } => failure,
        other => panic!("not failed: {other:?}"),
    }
}

#[tokio::test]
async fn record_spares_strangers() {
    let mut host = Host::start(600_000).await;
    host.kill_with_watchdog();
    let records = host.private().join("hosts");
    let record = std::fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&record), 0o600);
    // As if the id of one had been reused: another start.
    let text = std::fs::read_to_string(&record).unwrap();
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let reused = text.lines().map(|line| match line.strip_prefix("server ") {
        Some(rest) => {
            let mut words: Vec<&str> = rest.split(' ').collect();
            let pid = stranger.id().to_string();
            words[0] = &pid;
            format!("server {}\n", words.join(" "))
        }
        None => format!("{line}\n"),
    });
    std::fs::write(&record, reused.collect::<String>()).unwrap();
    let config = ProcessConfig::new(host.private()).with_stop_grace(std::time::Duration::from_secs(1));
    let server = StdioServer::start("next", fixture([]), &config);
    server.handshake().await.unwrap();
    assert!(runs(stranger.id()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(host.left(), [0; 0], "they are found by their marks");
}

#[tokio::test]
async fn running_host_keeps_its_servers() {
    let host = Host::start(1000).await;
    let config = ProcessConfig::new(host.private());
    let server = StdioServer::start("second", fixture([]), &config);
    server.handshake().await.unwrap();
    assert_eq!(host.left(), host.pids);
    server.stop(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn watchdog_and_record_end_with_servers() {
    let dir = tempfile::tempdir().unwrap();
    let server = StdioServer::start("one", fixture([]), &config(&dir));
    server.handshake().await.unwrap();
    let records = dir.path().join("private/hosts");
    assert_eq!(std::fs::read_dir(&records).unwrap().count(), 1);
    server.stop(std::time::Duration::ZERO).await;
    eventually("the record is gone", async || !records.exists()).await;
}

#[tokio::test]
async fn cleanup_can_be_off() {
    let dir = tempfile::tempdir().unwrap();
    let server = StdioServer::start("one", fixture([]), &config(&dir).with_orphan_cleanup(false));
    tokio::time::timeout(TIMEOUT, server.handshake())
        .await
        .unwrap()
        .unwrap();
    assert!(!dir.path().join("private/hosts").exists());
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
