//! CPU time and memory of a process, from `/proc`.

use std::fs;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Result;

/// Makes the kernel kill this process when its parent ends.
pub(crate) fn end_with_parent() {
    // If the kernel refuses, the parent still kills this process on drop.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// The CPU time of a process: that of each thread in nanoseconds, and the total in ticks.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    threads: Vec<(String, u64)>,
    /// utime + stime: coarse, but includes threads that have ended.
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

    /// Returns the CPU time since an earlier reading: exact if no thread has ended, else to 10 ms.
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
    let (_, rest) = text.rsplit_once(')').ok_or("cannot parse /proc/PID/stat")?;
    let times = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(times.sum::<Result<u64, _>>()?)
}

/// Reads a line of `/proc/PID/status`, in KiB.
pub(crate) fn memory(process: u32, line: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = text.lines().find_map(|candidate| candidate.strip_prefix(line));
    Ok(value
        .and_then(|value| value.split_whitespace().next())
        .ok_or("no such line in status")?
        .parse()?)
}

/// Resets the memory peak. If that is not allowed, the peak remains that since the start.
pub(crate) fn reset_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}
