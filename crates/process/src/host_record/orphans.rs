//! Ends what hosts that were killed have left.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    RECORDS, is_own,
    text::{RecordText, scope},
};
use crate::processes::{Family, ProcessId, Snapshot};

/// How many records are looked at, and how long one may be.
const MAX_RECORDS: usize = 1024;
const MAX_RECORD: u64 = 1 << 20;

/// How often it is looked whether processes have ended.
const POLL: Duration = Duration::from_millis(20);

/// Ends the servers that are recorded below `base` by hosts that run no longer, each if it is still the same process:
/// SIGTERM, and SIGKILL after `grace`. Their inputs ended with their host. Returns when they are gone; their private
/// directories are removed.
pub(crate) async fn end_orphans(base: &Path, grace: Duration) {
    let base = base.to_owned();
    // The lists of processes and the records are files.
    let found = tokio::task::spawn_blocking(move || Orphans::find(&base));
    let Ok(mut orphans) = found.await else { return };
    if orphans.records.is_empty() {
        return;
    }
    orphans.signal(Signal::TERM);
    if !orphans.gone_within(grace).await {
        orphans.signal(Signal::KILL);
        // Only the kernel can keep them now.
        orphans.gone_within(Duration::from_secs(1)).await;
    }
    let _ = tokio::task::spawn_blocking(move || orphans.forget()).await;
}

/// Where a record comes from.
enum Origin {
    /// This machine, as it runs now.
    Here,
    /// A run of the machine that is over: none of its processes is left, but directories are.
    EarlierBoot,
    /// A container that shares the directory: its ids mean other processes.
    Elsewhere,
}

impl Origin {
    fn of(record: &RecordText, scope: &str) -> Self {
        let boot = |scope: &str| scope.split(' ').next().map(ToOwned::to_owned);
        match record.scope == scope {
            true => Self::Here,
            false if boot(&record.scope) == boot(scope) => Self::Elsewhere,
            false => Self::EarlierBoot,
        }
    }
}

/// What hosts have left.
struct Orphans {
    records: Vec<(PathBuf, RecordText)>,
    families: Vec<Family>,
    base: PathBuf,
}

impl Orphans {
    fn find(base: &Path) -> Self {
        let mut orphans = Self {
            records: Vec::new(),
            families: Vec::new(),
            base: base.to_owned(),
        };
        let (directory, Some(scope)) = (base.join(RECORDS), scope()) else {
            return orphans;
        };
        if !is_own(&directory) {
            return orphans;
        }
        let Ok(entries) = fs::read_dir(directory) else {
            return orphans;
        };
        for file in entries.take(MAX_RECORDS).filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(record) = read(&file) else { continue };
            match Origin::of(&record, &scope) {
                Origin::Elsewhere => continue,
                Origin::EarlierBoot => {}
                Origin::Here if record.host.runs() => continue,
                Origin::Here => orphans.add_families(&record),
            }
            orphans.records.push((file, record));
        }
        orphans
    }

    fn add_families(&mut self, record: &RecordText) {
        let runs = record.runs.iter();
        // A leader that has ended leaves no claim to its id.
        let runs = runs
            .filter(|run| run.id.runs())
            .map(|run| Family::new(Some(run.id), run.mark.clone()));
        self.families.extend(runs);
        self.families.push(Family::new(None, format!("{}.", record.token)));
    }

    fn members(&mut self) -> Vec<ProcessId> {
        let snapshot = Snapshot::take(0);
        let members = self.families.iter_mut().flat_map(|family| family.members(&snapshot));
        members.collect()
    }

    fn signal(&mut self, signal: Signal) {
        let members = self.members();
        if signal == Signal::TERM && !members.is_empty() {
            let pids: Vec<i32> = members.iter().map(|member| member.pid).collect();
            tracing::warn!(target: "portolan_process", ?pids, "orphaned servers ended");
        }
        members.iter().for_each(|member| member.signal(signal));
    }

    async fn gone_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.members().is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Removes the private directories, and the records last.
    fn forget(self) {
        let base = self.base.canonicalize().unwrap_or(self.base);
        for (file, record) in self.records {
            let directories = record.runs.iter().filter_map(|run| run.private_dir.as_deref());
            for directory in directories.filter(|directory| directory.parent() == Some(&base)) {
                let _ = fs::remove_dir_all(directory);
            }
            let _ = fs::remove_file(file);
        }
    }
}

fn read(file: &Path) -> Option<RecordText> {
    let found = fs::symlink_metadata(file).ok()?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() || found.len() > MAX_RECORD {
        return None;
    }
    let mut text = String::new();
    File::open(file).ok()?.take(MAX_RECORD).read_to_string(&mut text).ok()?;
    RecordText::parse(&text)
}
