//! Finds out which process listens on a port.

use std::{collections::HashSet, fs};

use crate::processes::{ProcessId, Snapshot};

/// How the kernel writes the state of a socket that listens.
const LISTENING: &str = "0A";

/// A process that listens on a port.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) pid: i32,
    /// The name of its program.
    pub(super) name: String,
    /// The host that started it, as its mark says; `None` if it has none.
    pub(super) host: Option<Host>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) pid: i32,
    pub(super) runs: bool,
}

/// Returns the process that listens on `port`; `None` if it is another user's, or the system does not tell.
pub(super) fn of(port: u16) -> Option<Owner> {
    let sockets = listening(port);
    if sockets.is_empty() {
        return None;
    }
    let snapshot = Snapshot::take(0);
    let process = snapshot.0.iter().find(|process| holds(process.id.pid, &sockets))?;
    let name = fs::read_to_string(format!("/proc/{}/comm", process.id.pid)).unwrap_or_default();
    Some(Owner {
        pid: process.id.pid,
        name: name.trim().to_owned(),
        host: process.mark.as_deref().and_then(host),
    })
}

/// Returns the names of the sockets that listen on `port`, as links in `/proc/PID/fd` show them.
fn listening(port: u16) -> HashSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.flat_map(|table| parse(&table, port)).collect()
}

fn parse(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let sockets = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&wanted) && *state == LISTENING).then(|| format!("socket:[{inode}]"))
    });
    sockets.collect()
}

fn holds(pid: i32, sockets: &HashSet<String>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).ok();
        target.is_some_and(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
    })
}

/// Reads the host from a mark, which begins with its process id and start.
fn host(mark: &str) -> Option<Host> {
    let mut parts = mark.split('-');
    let pid = parts.next()?.parse().ok()?;
    let start = parts.next()?.parse().ok()?;
    let runs = ProcessId { pid, start }.runs();
    Some(Host { pid, runs })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn own_listener_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = of(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(u32::try_from(owner.pid), Ok(std::process::id()));
        assert!(!owner.name.is_empty() && owner.host.is_none());
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 1000 0 777 1\n\
            1: 0100007F:1F90 0100007F:9999 01 0:0 0:0 0 1000 0 778 1\n\
            2: 0100007F:01F9 00000000:0000 0A 0:0 0:0 0 1000 0 779 1\n";
        assert_eq!(parse(table, 8080), ["socket:[777]"]);
        assert_eq!(parse("", 8080), [""; 0]);
    }
}
