//! The text of a record: lines of words.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::processes::{ProcessId, Token};

/// The first line.
const VERSION: &str = "portolan-servers 1";

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordText {
    /// The machine's present run and the process namespace, without which no process id means anything.
    pub(super) scope: String,
    pub(super) host: ProcessId,
    pub(super) token: String,
    pub(super) runs: Vec<RecordedRun>,
}

/// One process of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordedRun {
    pub(super) id: ProcessId,
    pub(super) mark: String,
    pub(super) private_dir: Option<PathBuf>,
}

impl RecordText {
    /// Returns the record of this process; `None` where it cannot be seen.
    pub(super) fn of_this_host(token: &Token, runs: Vec<RecordedRun>) -> Option<Self> {
        Some(Self {
            scope: scope()?,
            host: ProcessId::of(std::process::id())?,
            token: token.as_str().to_owned(),
            runs,
        })
    }

    /// Reads a record; `None` if it is none, or one of another version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let scope = lines.next()?.strip_prefix("scope ")?.to_owned();
        let (host, token) = parse_process(lines.next()?.strip_prefix("host ")?)?;
        let token = token.to_owned();
        let runs = lines.map(|line| {
            let (id, rest) = parse_process(line.strip_prefix("server ")?)?;
            if id.pid == 1 {
                return None;
            }
            let (mark, dir) = rest.split_once(' ').unwrap_or((rest, ""));
            Some(RecordedRun {
                id,
                mark: mark.to_owned(),
                private_dir: (!dir.is_empty()).then(|| dir.into()),
            })
        });
        Some(Self {
            scope,
            host,
            token,
            // The watchdog reads the same lines; one that says nothing is skipped by both.
            runs: runs.flatten().collect(),
        })
    }
}

impl fmt::Display for RecordText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host;
        writeln!(f, "{VERSION}\nscope {}", self.scope)?;
        writeln!(f, "host {} {} {}", host.pid, host.start, self.token)?;
        for run in &self.runs {
            let dir = run.private_dir.as_deref().and_then(Path::to_str).unwrap_or_default();
            // A directory whose name has a line end is not removed.
            let dir = if dir.contains('\n') { "" } else { dir };
            writeln!(f, "server {} {} {} {dir}", run.id.pid, run.id.start, run.mark)?;
        }
        Ok(())
    }
}

/// Returns what process ids and start times are relative to.
pub(super) fn scope() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

fn parse_process(text: &str) -> Option<(ProcessId, &str)> {
    let mut words = text.splitn(3, ' ');
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let start = words.next()?.parse().ok()?;
    Some((ProcessId { pid, start }, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_reads_as_written() {
        let run = |pid, private_dir: Option<&str>| RecordedRun {
            id: ProcessId { pid, start: 7 },
            mark: format!("t.{pid}"),
            private_dir: private_dir.map(Into::into),
        };
        let record =
            RecordText::of_this_host(&Token::new(), vec![run(10, None), run(11, Some("/run/a b/c.1.2"))]).unwrap();
        assert_eq!(RecordText::parse(&record.to_string()), Some(record));
    }

    #[test]
    fn other_text_is_no_record() {
        for text in [
            "",
            "portolan-servers 2\n",
            "portolan-servers 1\nscope a b\nhost 0 1 t\n",
        ] {
            assert_eq!(RecordText::parse(text), None, "{text:?}");
        }
        let odd = "portolan-servers 1\nscope a b\nhost 5 1 t\nserver 1 1 t.1 \nserver x\n";
        assert_eq!(RecordText::parse(odd).unwrap().runs, []);
    }
}
