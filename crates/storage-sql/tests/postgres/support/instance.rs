//! A PostgreSQL server of a test's own, to kill and to start again.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::variable;

/// The ids of `nobody`, for the server refuses root.
const NOBODY: u32 = 65_534;

/// A running server, which ends when this is dropped.
pub(crate) struct Instance {
    folder: TempDir,
    port: u16,
}

impl Instance {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("given away");
        }
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("a port").port();
        drop(listener);
        let instance = Self { folder, port };
        let data = instance.data();
        let data = data.to_str().expect("text");
        instance.run(
            "initdb",
            &[
                "-D",
                data,
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
        );
        instance.begin();
        instance
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends the server as a crash would, and starts it again.
    pub(crate) fn restart(&self) {
        tokio::task::block_in_place(|| {
            self.end();
            self.begin();
        });
    }

    fn begin(&self) {
        let folder = self.folder.path().display();
        let options = format!(
            "-p {} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100",
            self.port
        );
        let log = self.folder.path().join("log");
        self.control(&["-w", "-l", log.to_str().expect("text"), "-o", &options, "start"]);
    }

    fn end(&self) {
        self.control(&["-m", "immediate", "-w", "stop"]);
    }

    fn control(&self, arguments: &[&str]) {
        let data = self.data();
        let all = [&["-D", data.to_str().expect("text")], arguments].concat();
        self.run("pg_ctl", &all);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let programs = PathBuf::from(variable("PORTOLAN_POSTGRES_PROGRAMS"));
        let mut command = Command::new(programs.join(program));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.args(arguments).current_dir(self.folder.path());
        // The server inherits them, and would keep a pipe open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().expect("it runs");
        assert!(status.success(), "{program}: {status}");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let data = self.data();
        if data.join("postmaster.pid").exists() {
            self.end();
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("an id");
    id.stdout.trim_ascii() == b"0"
}
