//! The processes of one server: the one that was started, and everything that it started.

use std::collections::HashSet;

use super::{ProcessId, ProcessInfo, Snapshot};

/// The processes of one server.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    leader: Option<ProcessId>,
    /// The mark that they inherit, or what all marks of a host begin with.
    mark: String,
    /// Those that were found before: they stay members when their parents end.
    seen: HashSet<ProcessId>,
}

impl Family {
    /// Returns the processes of `leader`, and those whose mark begins with `mark`.
    pub(crate) fn new(leader: Option<ProcessId>, mark: impl Into<String>) -> Self {
        Self {
            leader,
            mark: mark.into(),
            seen: HashSet::new(),
        }
    }

    /// Returns those that run: members of the leader's group, descendants of a member, and those that have the mark,
    /// such as a helper in a session of its own whose parent has ended.
    pub(crate) fn members(&mut self, snapshot: &Snapshot) -> Vec<ProcessId> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let group = self.own_group(snapshot);
        let is_member = |process: &ProcessInfo| {
            Some(process.id) == self.leader
                || group == Some(process.group)
                || self.seen.contains(&process.id)
                || process.mark.as_deref().is_some_and(|mark| is_mark(mark, &self.mark))
        };
        let processes = || snapshot.0.iter().filter(|process| process.id.pid != own);
        let mut pids: HashSet<i32> = processes().filter(|one| is_member(one)).map(|one| one.id.pid).collect();
        loop {
            let before = pids.len();
            let children = processes()
                .filter(|one| pids.contains(&one.parent))
                .map(|one| one.id.pid);
            let children: Vec<i32> = children.collect();
            pids.extend(children);
            if pids.len() == before {
                break;
            }
        }
        let running = processes().filter(|one| pids.contains(&one.id.pid) && !one.is_zombie);
        self.seen = running.map(|one| one.id).collect();
        self.seen.iter().copied().collect()
    }

    /// Returns the leader's group. Its id belongs to nobody else as long as the group has a member; once a process with
    /// that id is another one, the group is gone.
    fn own_group(&self, snapshot: &Snapshot) -> Option<i32> {
        let leader = self.leader?;
        let now = snapshot.0.iter().find(|process| process.id.pid == leader.pid);
        now.is_none_or(|now| now.id == leader).then_some(leader.pid)
    }
}

/// Returns true if `mark` is `wanted`, or begins with it where that ends with a dot.
fn is_mark(mark: &str, wanted: &str) -> bool {
    mark == wanted || (wanted.ends_with('.') && mark.starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, group: i32, mark: Option<&str>) -> ProcessInfo {
        ProcessInfo {
            id: ProcessId { pid, start: 100 },
            parent,
            group,
            is_zombie: false,
            mark: mark.map(Into::into),
        }
    }

    fn members(family: &mut Family, processes: Vec<ProcessInfo>) -> Vec<i32> {
        let mut pids: Vec<_> = family.members(&Snapshot(processes)).iter().map(|id| id.pid).collect();
        pids.sort_unstable();
        pids
    }

    fn leader(pid: i32) -> Option<ProcessId> {
        Some(ProcessId { pid, start: 100 })
    }

    #[test]
    fn group_descendants_and_marked_are_members() {
        let mut family = Family::new(leader(1_000_010), "h.1");
        let all = || {
            vec![
                process(1_000_010, 1, 1_000_010, None),
                process(1_000_011, 1, 1_000_010, None),
                process(1_000_012, 1_000_011, 1_000_012, None),
                process(1_000_013, 1, 1_000_013, Some("h.1")),
                process(1_000_014, 1, 1_000_014, Some("h.11")),
                process(1_000_015, 1, 1_000_015, None),
            ]
        };
        assert_eq!(
            members(&mut family, all()),
            [1_000_010, 1_000_011, 1_000_012, 1_000_013]
        );
        // A helper that was seen stays a member when its parents are gone.
        let left = vec![
            process(1_000_012, 1, 1_000_012, None),
            process(1_000_015, 1, 1_000_015, None),
        ];
        assert_eq!(members(&mut family, left), [1_000_012]);
    }

    #[test]
    fn reused_id_is_no_member() {
        let mut family = Family::new(
            Some(ProcessId {
                pid: 1_000_010,
                start: 99,
            }),
            "h.1",
        );
        let all = vec![
            process(1_000_010, 1, 1_000_010, None),
            process(1_000_011, 1_000_010, 1_000_010, None),
        ];
        assert_eq!(members(&mut family, all), [0; 0]);
    }

    #[test]
    fn host_token_names_all_runs() {
        let mut family = Family::new(None, "h.");
        let all = vec![
            process(1_000_010, 1, 1_000_010, Some("h.1")),
            process(1_000_011, 1, 1_000_011, Some("h2.1")),
        ];
        assert_eq!(members(&mut family, all), [1_000_010]);
    }
}
