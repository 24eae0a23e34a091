//! Servers of a host process that ends without running its code, as the crate docs describe it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use portolan_core::Channel;
use portolan_process::{ProcessConfig, StdioServer};

use crate::support::{eventually, fixture, kill, runs};

/// The variable that names the host's directory.
const DIR: &str = "PORTOLAN_TEST_HOST_DIR";

/// Starts this test program as a host of two servers, of which one ignores the end of its input.
fn host(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "host_exit::host_program"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "run by killed_host_leaves_lingering_servers"]
async fn host_program() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test that starts this one names the directory"
    )]
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let config = ProcessConfig::new(dir.join("private"));
    let servers = [("heeding", vec![]), ("lingering", vec!["--linger"])];
    let servers = servers.map(|(name, flags)| (name, StdioServer::start(name, fixture(flags), &config)));
    for (name, server) in &servers {
        server.handshake().await.unwrap();
        std::fs::write(dir.join(name), server.pid().unwrap().to_string()).unwrap();
    }
    std::fs::write(dir.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn killed_host_leaves_lingering_servers() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = host(dir.path());
    eventually("the servers run", async || dir.path().join("ready").exists()).await;
    let pid = |name: &str| {
        std::fs::read_to_string(dir.path().join(name))
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    let (heeding, lingering) = (pid("heeding"), pid("lingering"));
    kill(host.id());
    host.wait().unwrap();
    eventually("the server that heeds its input ends", async || !runs(heeding)).await;
    assert!(runs(lingering), "the other one goes on");
    let left = std::fs::read_dir(dir.path().join("private")).unwrap().count();
    assert_eq!(left, 2, "both private directories are left behind");
    kill(lingering);
}
