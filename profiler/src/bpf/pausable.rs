//! Probes that can be taken away for a while: a probe that is there costs, whatever its program does.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::{AddAssign, Sub};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};

use unfreed_common::config::{Traps, trap_place};

use super::attach::{AttachError, Probe};
use super::load::{Bpf, LoadError, take};
use super::multi::MultiLink;

/// Where a probe is or was.
pub(super) struct Place {
    probe: Probe,
    path: PathBuf,
    pid: NonZeroU32,
    link: Option<Link>,
}

/// A probe that is there as long as this lives. The kernel takes a tenth of a second to remove it, for most
/// of which it is not hit any more.
pub struct Link(Held);

impl Link {
    /// Whether the breakpoint is gone as soon as this begins to be dropped.
    pub fn goes_at_once(&self) -> bool {
        matches!(self.0, Held::Multi(_))
    }
}

#[expect(dead_code, reason = "what they hold is in the kernel")]
enum Held {
    Perf(UProbeLink),
    Multi(MultiLink),
}

/// How the kernel goes on after a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It emulates the instruction.
    Emulated,
    /// It executes the instruction and traps again.
    SingleStepped,
    /// It has the function, at whose entry the probe is, return to a trampoline.
    Return,
}

/// How often programs have run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// On instructions that the kernel emulates.
    pub emulated: u64,
    /// On instructions that it executes.
    pub single_stepped: u64,
    /// On returns.
    pub returns: u64,
    /// To walk stacks.
    pub walks: u64,
}

impl AddAssign for Runs {
    fn add_assign(&mut self, other: Self) {
        self.emulated += other.emulated;
        self.single_stepped += other.single_stepped;
        self.returns += other.returns;
        self.walks += other.walks;
    }
}

impl Sub for Runs {
    type Output = Self;

    /// Those that came after `before`.
    fn sub(self, before: Self) -> Self {
        Self {
            emulated: self.emulated.saturating_sub(before.emulated),
            single_stepped: self.single_stepped.saturating_sub(before.single_stepped),
            returns: self.returns.saturating_sub(before.returns),
            walks: self.walks.saturating_sub(before.walks),
        }
    }
}

/// The programs' counters.
pub struct TrapCounts(PerCpuArray<MapData, Traps>);

impl TrapCounts {
    pub(super) fn of(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self(PerCpuArray::try_from(take(ebpf, "TRAPS")?)?))
    }

    /// All processors' together.
    pub fn read(&self) -> anyhow::Result<Traps> {
        let mut sum = Traps::NONE;
        let counters = self.0.get(&0, 0).context("reading the map TRAPS")?;
        for counters in counters.iter() {
            sum.add(counters);
        }
        Ok(sum)
    }
}

/// Removes probes, so many at a time: the kernel waits in between, and what is waiting for its turn meanwhile is done
/// sooner. All perf events of tracepoints and probes, whoever's they are, take turns (`event_mutex`).
pub fn remove<L: Send>(mut links: Vec<L>, at_a_time: usize) {
    let each = links.len().div_ceil(at_a_time).max(1);
    std::thread::scope(|scope| {
        while !links.is_empty() {
            let some = links.split_off(links.len().saturating_sub(each));
            scope.spawn(|| drop(some));
        }
    });
}

/// Those that are hit most first, one after the other, where each has to wait for the others anyway; where they go at
/// once, all together. `links`: in that order.
pub fn remove_hit_first(links: Vec<Link>) {
    let at_a_time = if links.iter().all(Link::goes_at_once) {
        links.len()
    } else {
        1
    };
    remove(links, at_a_time.max(1));
}

impl Bpf {
    /// Attaches `probe` as [`Bpf::attach`] does, until [`Bpf::pause`]; during a pause from its end on.
    pub fn attach_pausable(
        &mut self,
        probe: Probe,
        path: &Path,
        pid: NonZeroU32,
    ) -> Result<(), AttachError> {
        let link = if self.paused {
            None
        } else {
            Some(self.link(probe, path, pid)?)
        };
        self.pausable.push(Place {
            probe,
            path: path.to_owned(),
            pid,
            link,
        });
        Ok(())
    }

    /// What counts the programs' runs when the recording may have gaps.
    pub fn trap_counts(&self) -> Arc<TrapCounts> {
        Arc::clone(&self.traps)
    }

    /// Blocks that were taken less those that were given back; `None`: not every block is recorded.
    pub fn net(&self, traps: &Traps) -> Option<i64> {
        (!self.sampled).then(|| traps.net())
    }

    /// These by what they cost.
    pub fn runs(&self, traps: &Traps) -> Runs {
        let slow = self
            .pausable
            .iter()
            .filter(|place| place.probe.kind() == Kind::SingleStepped);
        // Others at the same place in their page count as such, too: so the sum is rather too large.
        let slow: BTreeSet<usize> = slow.map(|place| trap_place(place.probe.offset)).collect();
        let single_stepped = slow.iter().map(|&place| traps.sites[place]).sum();
        Runs {
            emulated: traps.sites.iter().sum::<u64>() - single_stepped,
            single_stepped,
            returns: traps.returns,
            walks: traps.walks,
        }
    }

    /// Whether this kernel has links that go at once, and does with them what it is to: then [`Bpf::link`] makes such
    /// ones. If not, and [`Sizes::at_once`] was set, this is of no use, and is to be loaded without. `probe`: one in
    /// the file at `path`.
    ///
    /// [`Sizes::at_once`]: super::load::Sizes::at_once
    pub fn links_go_at_once(&mut self, probe: Probe, path: &Path) -> bool {
        let multi = self.multi.as_mut();
        multi.is_some_and(|multi| multi.is_right(probe.program, path, probe.offset))
    }

    /// Whether [`Bpf::link`] makes links that go at once.
    pub fn removes_at_once(&self) -> bool {
        self.multi.is_some()
    }

    /// Begins a pause. Removing the links, those that are hit most first, removes the probes.
    pub fn pause(&mut self) -> Vec<Link> {
        self.paused = true;
        if let Ok(Traps { sites, .. }) = self.traps.read() {
            self.pausable
                .sort_by_key(|place| Reverse(sites[trap_place(place.probe.offset)]));
        }
        let links = self.pausable.iter_mut().map(|place| place.link.take());
        links.flatten().collect()
    }

    /// Ends it.
    pub fn resume(&mut self) -> Result<(), AttachError> {
        let mut places = std::mem::take(&mut self.pausable);
        let linked = places.iter_mut().try_for_each(|place| {
            place.link = Some(self.link(place.probe, &place.path, place.pid)?);
            Ok(())
        });
        self.pausable = places;
        self.paused = false;
        linked
    }

    /// Attaches `probe` for as long as the link lives.
    pub fn link(
        &mut self,
        probe: Probe,
        path: &Path,
        pid: NonZeroU32,
    ) -> Result<Link, AttachError> {
        let held = if let Some(multi) = &mut self.multi {
            let returns = probe.returns();
            let link = multi.link(probe.program, returns, path, &[probe.offset], pid);
            Held::Multi(link?)
        } else {
            let program = self.program::<UProbe>(probe.program)?;
            let location = UProbeAttachLocation::AbsoluteOffset(probe.offset);
            let id = program
                .attach(location, path, UProbeScope::OneProcess(pid))
                .map_err(Box::new)?;
            Held::Perf(program.take_link(id).map_err(Box::new)?)
        };
        Ok(Link(held))
    }
}
