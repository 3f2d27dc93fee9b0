//! A closer look at anonymous memory, which costs about as much as the first one again: only where
//! something has happened that needs it.

use std::fs;

use anyhow::Context as _;
use procfs::process::Process as ProcFs;

use super::frames::{Frame, Frames};
use super::{Lazy, PAGE, Residency, Run};
use crate::profile::Kind;

impl Residency {
    /// Finds what came as a part of something larger, if any such page was made since the look `before`,
    /// and what has been given back lazily, if that is more than nothing by the kernel's sums
    /// (`LazyFree` of `smaps_rollup`). Fails when the process has ended; where page frames may not be
    /// seen, neither is known.
    pub fn look_closer(
        &mut self,
        pid: u32,
        before: &Self,
        lazily_freed: u64,
    ) -> anyhow::Result<()> {
        let large = self.large_made != before.large_made;
        if !large && lazily_freed == 0 {
            return Ok(());
        }
        let lazily = if lazily_freed > 0 {
            lazily(pid)?
        } else {
            Vec::new()
        };
        let Ok(frames) = Frames::of(pid) else {
            self.hidden = lazily_freed;
            return Ok(());
        };
        let mut closer = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let next = lazily.partition_point(|lazy| lazy.end <= run.start);
            let of_lazy = lazily.get(next).is_some_and(|lazy| lazy.start < run.end);
            let of_large = large && run.kind == Kind::Anonymous;
            if !of_lazy && !of_large {
                closer.push(*run);
                continue;
            }
            let looked = frames.look(run.start, run.end, |page, frame| {
                add(&mut closer, run, page, frame, of_lazy);
            });
            match looked {
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    self.hidden = lazily_freed;
                    return Ok(());
                }
                looked => looked.context("looking at page frames")?,
            }
        }
        self.runs = closer;
        self.lazily = lazily;
        Ok(())
    }
}

/// The page is a run of its own, or one more of the last one.
fn add(runs: &mut Vec<Run>, of: &Run, page: u64, frame: Frame, of_lazy: bool) {
    let new = Run {
        start: page,
        end: page + PAGE,
        // Huge pages are known as such.
        folio: frame.folio.filter(|_| !of.huge),
        lazy: frame.lazy && of_lazy,
        ..*of
    };
    match runs.last_mut() {
        Some(last) if last.end == page && last.is_like(&new) => last.end = new.end,
        _ => runs.push(new),
    }
}

impl Run {
    /// In all but where it is.
    fn is_like(&self, other: &Self) -> bool {
        let Self {
            start: _,
            end: _,
            kind,
            huge,
            folio,
            lazy,
        } = other;
        (self.kind, self.huge, self.folio, self.lazy) == (*kind, *huge, *folio, *lazy)
    }
}

/// The mappings that have some.
fn lazily(pid: u32) -> anyhow::Result<Vec<Lazy>> {
    let maps = ProcFs::new(pid.cast_signed())
        .and_then(|process| process.smaps())
        .with_context(|| format!("reading /proc/{pid}/smaps"))?;
    let lazily = maps.iter().filter_map(|map| {
        let bytes = *map.extension.map.get("LazyFree")?;
        (bytes > 0).then_some(Lazy {
            start: map.address.0,
            end: map.address.1,
            bytes,
        })
    });
    Ok(lazily.collect())
}

/// How many anonymous pages larger than the smallest were made on this machine, by any process.
pub fn large_made() -> u64 {
    const SIZES: &str = "/sys/kernel/mm/transparent_hugepage";
    let vmstat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let huge = vmstat.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        let made = ["thp_fault_alloc", "thp_collapse_alloc"].contains(&name);
        made.then(|| value.parse::<u64>().ok())?
    });
    // Those of other sizes, since Linux 6.10.
    let sizes = fs::read_dir(SIZES).into_iter().flatten().flatten();
    let other = sizes.filter_map(|size| {
        let made = fs::read_to_string(size.path().join("stats/anon_fault_alloc")).ok()?;
        made.trim().parse::<u64>().ok()
    });
    huge.chain(other).sum()
}

/// Has the kernel finish what was given back lazily a moment ago: each processor keeps up to 31 such
/// pages in a list of its own first (mm/swap.c, `lru_lazyfree`), where nothing tells of them. To migrate
/// nothing from a node to itself empties these lists and has no other effect (mm/mempolicy.c,
/// `do_migrate_pages`); without NUMA there is no such call, and nothing happens.
pub fn settle() {
    let node: libc::c_ulong = 1;
    // SAFETY: the kernel reads the two words, of which the first bit counts.
    let _unsupported = unsafe {
        libc::syscall(
            libc::SYS_migrate_pages,
            0,
            2 as libc::c_ulong,
            &raw const node,
            &raw const node,
        )
    };
}
