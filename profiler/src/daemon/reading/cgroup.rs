//! The files of memory cgroups, of both versions.

use std::io::{self, ErrorKind};
use std::path::Path;

use procfs::ProcessCGroup;

use super::CgroupReading;
use super::mounts::{Mounts, Place};

/// Version 1 writes its greatest number, rounded down to pages, where there is no limit; nobody has that much.
const NO_LIMIT: u64 = 1 << 62;

/// Reads the cgroup that a process's memory is charged to. `None`: there is none, or it cannot be seen.
pub fn of(mounts: &Mounts, groups: &[ProcessCGroup]) -> Option<CgroupReading> {
    // The controller is in one of the two hierarchies, and absent from the other.
    match mounts.memory(groups) {
        Some(place) => version_1(&place),
        None => version_2(&mounts.unified(groups)?),
    }
}

/// The memory controller need not be switched on down to where the process is. Its memory is then charged to the
/// first parent that has it. The root of the hierarchy has none: nothing there is accounted.
pub fn version_2(place: &Place) -> Option<CgroupReading> {
    let mut levels = place.levels().skip_while(|level| !has_memory(level));
    let own = levels.next()?;
    let chain: Vec<&Path> = std::iter::once(own).chain(levels).collect();
    // An event is counted where the limit is, and in all above. A limit of a parent's is thus not seen in the
    // process's own counters, and a parent's sums have its neighbours' in them: what happened at each level is
    // added up instead (`.local`, Linux 5.2).
    let events = |name: &str| {
        sum(&chain, |level| {
            field(&level.join("memory.events.local"), name)
        })
    };
    Some(CgroupReading {
        directory: own.to_owned(),
        limit: tightest(&chain, "memory.max"),
        current: number(&own.join("memory.current")).ok()??,
        events_high: events("high"),
        events_max: events("max"),
        oom_kill: field(&own.join("memory.events.local"), "oom_kill").ok()?,
    })
}

/// Its limits are believed to hold for children, as they always do since Linux 5.11 and under systemd.
pub fn version_1(place: &Place) -> Option<CgroupReading> {
    let chain: Vec<&Path> = place.levels().collect();
    let own = place.directory.as_path();
    Some(CgroupReading {
        directory: own.to_owned(),
        limit: tightest(&chain, "memory.limit_in_bytes"),
        current: number(&own.join("memory.usage_in_bytes")).ok()??,
        events_high: None,
        // Counted at the level whose limit it was.
        events_max: sum(&chain, |level| number(&level.join("memory.failcnt"))),
        oom_kill: field(&own.join("memory.oom_control"), "oom_kill").ok()?,
    })
}

fn has_memory(level: &Path) -> bool {
    level.join("memory.current").exists()
}

/// `max` is no number and no limit.
fn tightest(chain: &[&Path], file: &str) -> Option<u64> {
    let limits = chain
        .iter()
        .filter_map(|level| number(&level.join(file)).ok()?);
    limits.filter(|&limit| limit < NO_LIMIT).min()
}

/// The sum over the levels that have the counter. `None` when none has it, or when one cannot be read now: a sum
/// that lacks a level now and then would seem to grow.
fn sum(chain: &[&Path], counter: impl Fn(&Path) -> io::Result<Option<u64>>) -> Option<u64> {
    let mut sum = None;
    for level in chain {
        if let Some(count) = counter(level).ok()? {
            sum = Some(sum.unwrap_or(0_u64).saturating_add(count));
        }
    }
    sum
}

/// The number in a file; `None` when there is no such file, or something else in it.
fn number(path: &Path) -> io::Result<Option<u64>> {
    Ok(text(path)?.and_then(|text| text.trim().parse().ok()))
}

/// The number after a name in a file of lines such as `oom_kill 3`.
fn field(path: &Path, name: &str) -> io::Result<Option<u64>> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok()).flatten()
    });
    Ok(found)
}

fn text(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
