//! What a process used, from `/proc`.

use std::fs;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Result;

/// Lets this process end with the one that started it, even when that one is killed.
pub(crate) fn end_with_parent() {
    // Where the kernel refuses, the parent's kill on drop is left.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// CPU time of a process so far, with what its threads know to the nanosecond.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    threads: Vec<(String, u64)>,
    /// utime + stime: coarse, but with the time of threads that have ended.
    ticks: u64,
}

impl Cpu {
    pub(crate) fn read(process: u32) -> Result<Self> {
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
            threads.push((
                entry.file_name().to_string_lossy().into_owned(),
                nanoseconds.unwrap_or_default(),
            ));
        }
        threads.sort();
        Ok(Self {
            threads,
            ticks: ticks(process)?,
        })
    }

    /// The time used since an earlier reading: exact while no thread ended, to 10 ms otherwise.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let kept = earlier
            .threads
            .iter()
            .all(|(id, _)| self.threads.iter().any(|(now, _)| now == id));
        if !kept {
            let hertz = rustix::param::clock_ticks_per_second();
            return Duration::from_nanos((self.ticks - earlier.ticks) * 1_000_000_000 / hertz);
        }
        let total = |reading: &Self| reading.threads.iter().map(|(_, nanoseconds)| nanoseconds).sum::<u64>();
        Duration::from_nanos(total(self).saturating_sub(total(earlier)))
    }
}

fn ticks(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command's name, in parentheses, may hold spaces; utime and stime are fields 14 and 15.
    let (_, rest) = text.rsplit_once(')').ok_or("an odd /proc/PID/stat")?;
    let times = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(times.sum::<Result<u64, _>>()?)
}

/// A line of `/proc/PID/status`, in KiB.
pub(crate) fn memory(process: u32, line: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = text.lines().find_map(|candidate| candidate.strip_prefix(line));
    Ok(value
        .and_then(|value| value.split_whitespace().next())
        .ok_or("no such line in status")?
        .parse()?)
}

/// Starts the peak of memory anew. Where that is not allowed, it is the peak since the start.
pub(crate) fn reset_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}
