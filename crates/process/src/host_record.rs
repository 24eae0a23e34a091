//! A record of the servers of this host process, for the case that it is killed: its watchdog and the next start end what
//! it left.

mod orphans;
mod text;
mod watchdog;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::OnceCell;

pub(crate) use self::orphans::end_orphans;
use self::{
    text::{RecordText, RecordedRun},
    watchdog::Watchdog,
};
use crate::{
    ProcessConfig,
    processes::{ProcessId, Token},
};

/// The directory of the records, below the base directory.
const RECORDS: &str = "hosts";

/// How often the directory is made anew while other hosts remove it.
const ATTEMPTS: usize = 8;

/// The servers of this host process that have their private directories below one base directory.
///
/// The file exists while there are servers. It holds no secret, argument or environment.
#[derive(Debug)]
pub(crate) struct HostRecord {
    /// `None` if the file cannot be written: the watchdog still finds processes by their marks.
    file: Option<PathBuf>,
    /// What the marks of its servers begin with, and of no others: when these servers have ended, so does the watchdog.
    token: Token,
    runs: Mutex<BTreeMap<u64, RecordedRun>>,
    /// Set when what earlier hosts have left is gone.
    swept: OnceCell<()>,
    _watchdog: Option<Watchdog>,
}

/// Keeps a run in the record until it is dropped.
#[derive(Debug)]
pub(crate) struct RecordEntry {
    record: Arc<HostRecord>,
    key: u64,
}

impl HostRecord {
    /// Returns the record below the base directory of `config`; `None` if there shall be none.
    pub(crate) fn of(config: &ProcessConfig) -> Option<Arc<Self>> {
        static RECORDS_IN_USE: Mutex<Option<HashMap<PathBuf, Weak<HostRecord>>>> = Mutex::new(None);
        if !config.orphan_cleanup || !cfg!(target_os = "linux") {
            return None;
        }
        let mut in_use = RECORDS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = in_use.get_or_insert_default();
        in_use.retain(|_, record| record.strong_count() > 0);
        if let Some(record) = in_use.get(&config.base_dir).and_then(Weak::upgrade) {
            return Some(record);
        }
        let record = Arc::new(Self::begin(config));
        in_use.insert(config.base_dir.clone(), Arc::downgrade(&record));
        Some(record)
    }

    fn begin(config: &ProcessConfig) -> Self {
        let token = Token::new();
        let file = begin_file(&config.base_dir, &token);
        if let Err(error) = &file {
            let path = config.base_dir.display();
            tracing::warn!(%path, %error, "servers are not recorded: if this process is killed, the next start cannot end them");
        }
        let file = file.ok();
        Self {
            _watchdog: Watchdog::start(file.as_deref(), &token, config),
            token,
            file,
            runs: Mutex::default(),
            swept: OnceCell::new(),
        }
    }

    /// Ends what earlier hosts with this base directory have left, once for all servers of this host.
    pub(crate) async fn end_orphans(&self, base: &Path, grace: Duration) {
        self.swept.get_or_init(|| end_orphans(base, grace)).await;
    }

    /// Returns a mark for one more run of a server.
    pub(crate) fn next_mark(&self) -> String {
        self.token.next_mark()
    }

    /// Records a process that was started with `mark`, and its private directory.
    pub(crate) fn add(self: &Arc<Self>, id: ProcessId, mark: &str, private_dir: Option<&Path>) -> RecordEntry {
        let run = RecordedRun {
            id,
            mark: mark.to_owned(),
            private_dir: private_dir.map(Path::to_path_buf),
        };
        let mut runs = self.lock();
        let key = runs.last_key_value().map_or(0, |(key, _)| key + 1);
        runs.insert(key, run);
        self.write(&runs);
        RecordEntry {
            record: self.clone(),
            key,
        }
    }

    fn write(&self, runs: &BTreeMap<u64, RecordedRun>) {
        let Some(file) = &self.file else { return };
        let runs = runs.values().cloned().collect();
        let Some(text) = RecordText::of_this_host(&self.token, runs) else {
            return;
        };
        if let Err(error) = write_atomically(file, &text.to_string()) {
            tracing::warn!(path = %file.display(), %error, "the record of servers cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, RecordedRun>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HostRecord {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
            // Unless another host has a record there.
            let _ = file.parent().map(fs::remove_dir);
        }
    }
}

impl Drop for RecordEntry {
    fn drop(&mut self) {
        let mut runs = self.record.lock();
        runs.remove(&self.key);
        self.record.write(&runs);
    }
}

/// Writes the record before anything is started, so that nothing can be started without one.
fn begin_file(base: &Path, token: &Token) -> io::Result<PathBuf> {
    for _ in 0..ATTEMPTS {
        match try_begin_file(base, token) {
            // The last record of another host was removed, and the directory with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    try_begin_file(base, token)
}

fn try_begin_file(base: &Path, token: &Token) -> io::Result<PathBuf> {
    let records = base.join(RECORDS);
    DirBuilder::new().recursive(true).mode(0o700).create(&records)?;
    if !is_own(&records) {
        return Err(io::Error::other(
            "the directory of the records belongs to somebody else",
        ));
    }
    let file = records.canonicalize()?.join(token.as_str());
    let text = RecordText::of_this_host(token, Vec::new())
        .ok_or_else(|| io::Error::other("this process cannot be seen in /proc"))?;
    write_atomically(&file, &text.to_string())?;
    Ok(file)
}

/// Returns true if `path` is a directory that only this user can write to.
fn is_own(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == own && found.mode() & 0o022 == 0)
}

fn write_atomically(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    fs::rename(new, file)
}

/// The whole seconds of a step, at least one.
fn whole_seconds(step: Duration) -> u64 {
    step.as_secs() + u64::from(step.subsec_nanos() > 0 || step.is_zero())
}
