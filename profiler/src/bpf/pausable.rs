//! Probes that can be taken away for a while: a probe that is there costs, whatever its program does.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aya::maps::PerCpuArray;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};

use unfreed_common::config::{TRAP_PLACES, Traps, trap_place};

use super::attach::{AttachError, Probe};
use super::load::Bpf;

/// Where a probe is or was.
pub(super) struct Place {
    probe: Probe,
    path: PathBuf,
    pid: NonZeroU32,
    link: Option<Link>,
}

/// A probe that is there as long as this lives. The kernel takes a tenth of a second to remove it, for most
/// of which it is not hit any more.
pub struct Link(#[expect(dead_code, reason = "what it holds is in the kernel")] UProbeLink);

/// How often programs have run, by how the kernel executes the instruction under the probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// Itself.
    pub emulated: u64,
    /// By a second trap.
    pub single_stepped: u64,
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

    /// How often programs have run, when the recording may have gaps.
    pub fn runs(&self) -> anyhow::Result<Runs> {
        let Traps(runs) = self.traps()?;
        let slow = self
            .pausable
            .iter()
            .filter(|place| place.probe.single_stepped);
        // Others at the same place in their page count as such, too: so the sum is rather too large.
        let slow: BTreeSet<usize> = slow.map(|place| trap_place(place.probe.offset)).collect();
        let single_stepped = slow.iter().map(|&place| runs[place]).sum();
        Ok(Runs {
            emulated: runs.iter().sum::<u64>() - single_stepped,
            single_stepped,
        })
    }

    fn traps(&self) -> anyhow::Result<Traps> {
        let traps: PerCpuArray<_, Traps> =
            PerCpuArray::try_from(self.map("TRAPS")?).context("reading the map TRAPS")?;
        let mut sum = Traps([0; TRAP_PLACES]);
        for Traps(runs) in traps.get(&0, 0)?.iter() {
            for (sum, runs) in sum.0.iter_mut().zip(runs) {
                *sum += runs;
            }
        }
        Ok(sum)
    }

    /// Begins a pause. Dropping the links, those that are hit most first, removes the probes.
    pub fn pause(&mut self) -> Vec<Link> {
        self.paused = true;
        if let Ok(Traps(runs)) = self.traps() {
            self.pausable
                .sort_by_key(|place| Reverse(runs[trap_place(place.probe.offset)]));
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
        let program = self.program::<UProbe>(probe.program)?;
        let location = UProbeAttachLocation::AbsoluteOffset(probe.offset);
        let id = program
            .attach(location, path, UProbeScope::OneProcess(pid))
            .map_err(Box::new)?;
        Ok(Link(program.take_link(id).map_err(Box::new)?))
    }
}
