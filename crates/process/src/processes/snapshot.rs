//! A list of the processes of this machine.

use std::{
    fs::{self, File},
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{MARK, ProcessId};

/// The longest environment that is searched, in bytes.
const MAX_ENVIRONMENT: u64 = 4 << 20;

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct ProcessInfo {
    pub(crate) id: ProcessId,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// It has ended, and was not waited for.
    pub(crate) is_zombie: bool,
    /// Its [`MARK`], if it has one and is a process of this user.
    pub(crate) mark: Option<Box<str>>,
}

/// The processes of this machine at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(pub(crate) Vec<ProcessInfo>);

impl Snapshot {
    /// Lists all processes, with the marks of those that started at `since` or later.
    pub(crate) fn take(since: u64) -> Self {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Self::default();
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut processes: Vec<ProcessInfo> = pids.filter_map(ProcessInfo::read).collect();
        for process in processes.iter_mut().filter(|process| process.id.start >= since) {
            process.mark = read_mark(process.id.pid);
        }
        Self(processes)
    }

    /// Returns a list that was begun at `after` or later, with the marks of the processes that started after this one.
    /// Many servers that end at once share it.
    pub(crate) fn begun_after(after: Instant) -> Arc<Self> {
        static LAST: Mutex<Option<(Instant, Arc<Snapshot>)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((begun, snapshot)) = &*last
            && *begun >= after
        {
            return snapshot.clone();
        }
        let begun = Instant::now();
        let since = ProcessId::of(std::process::id()).map_or(0, |host| host.start);
        let snapshot = Arc::new(Self::take(since));
        *last = Some((begun, snapshot.clone()));
        snapshot
    }
}

impl ProcessInfo {
    /// Reads one process, without its mark.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(pid, &stat)
    }
}

/// Reads `/proc/PID/stat`: the second field, the name, may hold blanks and brackets; no later one does.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<ProcessInfo> {
    let after_name = memchr::memrchr(b')', stat)? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    // The first one is field 3.
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    Some(ProcessInfo {
        id: ProcessId {
            pid,
            start: fields.get(19)?.parse().ok()?,
        },
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        mark: None,
    })
}

fn read_mark(pid: i32) -> Option<Box<str>> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(MAX_ENVIRONMENT).read_to_end(&mut environment).ok()?;
    find_mark(&environment)
}

fn find_mark(environment: &[u8]) -> Option<Box<str>> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_brackets_in_name() {
        let stat = b"42 (a ) b (c) S 7 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2\n";
        let info = parse_stat(42, stat).unwrap();
        assert_eq!(
            (info.id, info.parent, info.group),
            (
                ProcessId {
                    pid: 42,
                    start: 987_654
                },
                7,
                40
            )
        );
        assert!(!info.is_zombie);
        assert!(parse_stat(42, b"42 (x) S 1").is_none());
        assert!(parse_stat(42, b"").is_none());
    }

    #[test]
    fn mark_is_whole_variable() {
        assert_eq!(find_mark(b"A=1\0PORTOLAN_RUN=1-2-f.3\0B=2").as_deref(), Some("1-2-f.3"));
        assert_eq!(find_mark(b"X_PORTOLAN_RUN=1\0PORTOLAN_RUNS=2\0"), None);
    }

    #[test]
    fn own_process_is_listed() {
        let own = ProcessId::of(std::process::id()).unwrap();
        assert!(own.runs());
        assert!(Snapshot::take(0).0.iter().any(|process| process.id == own));
        assert!(
            !ProcessId {
                start: own.start + 1,
                ..own
            }
            .runs()
        );
    }
}
