//! Programs that are stopped by signals: the example `gateway_only`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A server that notes what tells it to end, and ends with its input.
const SERVER: &str = r#"trap 'echo SIGTERM >> "$0"' TERM; echo started >> "$0"
while read -r _; do :; done
sleep 0.3; echo input >> "$0""#;

/// The program, with that one server.
struct Program {
    child: Child,
    dir: tempfile::TempDir,
}

impl Program {
    /// Starts it; returns once it and its server run.
    fn start() -> Self {
        let test = std::env::current_exe().expect("a path");
        let profile = test.parent().and_then(|deps| deps.parent()).expect("a profile");
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ends");
        let mut child = Command::new(profile.join("examples/gateway_only"))
            .args(["--listen", "127.0.0.1:0", "--token", "t", "up=stdio:sh", "-c", SERVER])
            .arg(&file)
            .env("TMPDIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(line.starts_with("listening on"), "{line}");
        while !file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { child, dir }
    }

    fn ends(&self) -> String {
        fs::read_to_string(self.dir.path().join("ends")).expect("a file")
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill").success());
    }

    /// Returns the directories that servers had below the program's temporary directory.
    fn left(&self) -> Vec<PathBuf> {
        let bases = fs::read_dir(self.dir.path()).expect("a directory").flatten();
        let bases = bases.map(|entry| entry.path()).filter(|path| path.is_dir());
        bases
            .flat_map(|base| fs::read_dir(base).expect("a directory").flatten())
            .map(|one| one.path())
            .collect()
    }
}

#[test]
fn gateway_only_ends_servers_in_order() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::start();
        program.signal(signal);
        assert!(program.child.wait().expect("an end").success());
        assert_eq!(
            program.ends(),
            "started\ninput\n",
            "{signal}: it ended with its input, before the program"
        );
        assert!(program.left().is_empty(), "{:?}", program.left());
    }
}
