//! The pages view: page faults say who touched which page first, a look at the process's page tables
//! says which pages are resident, and the kernel's sums say whether both add up.

mod explain;
mod moved;

use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use procfs::process::Process as ProcFs;
use unfreed_common::page::Move;

use super::{Outcome, Source};
use crate::bpf::{self, Bpf, FaultEvents, Probe, Ring, Walkers};
use crate::profile::{Process, Reconciliation, Resident, Unwind, View};
use crate::target::{Method, Modules, Residency, monotonic_now, settle};
use crate::warning::Warning;
use explain::{Explained, explain};
use moved::Moved;

/// Looks at the page tables during the recording take at most this share of one processor.
const SHARE: u32 = 50;

/// The state of the pages view on one process.
pub struct Pages {
    pid: NonZeroU32,
    events: FaultEvents,
    method: Method,
    before: Look,
    /// The last one.
    after: Look,
    /// When to look again, should the target end before the recording.
    next: Instant,
    /// When the recording ended: `CLOCK_MONOTONIC`, nanoseconds.
    ended_at: u64,
    explained: Option<Explained>,
    /// Tells of memory that is moved.
    moves: Option<Ring>,
    moved: Moved,
    /// Most moved pages to keep.
    room: usize,
}

/// How often a target that changes meanwhile is looked at again at once.
const LOOKS: usize = 3;

/// What was resident at one moment, by the kernel's sums and page by page.
#[derive(Default)]
struct Look {
    resident: Resident,
    residency: Residency,
    /// By how much the resident set changed between the two, bytes: it was not one moment.
    changed: u64,
}

impl Look {
    fn at(pid: u32, method: Method) -> anyhow::Result<Self> {
        let mut first = sums(pid)?;
        let mut look = Self::default();
        for _ in 0..LOOKS {
            let residency = Residency::of(pid, method)?;
            let resident = sums(pid)?;
            look = Self {
                resident,
                residency,
                changed: resident.rss.abs_diff(first.rss),
            };
            if look.changed == 0 {
                break;
            }
            first = resident;
        }
        Ok(look)
    }
}

impl Pages {
    /// Nothing is attached yet. `room`: most pages that are followed when they are moved.
    pub fn of(pid: NonZeroU32, events: FaultEvents, room: u32) -> Self {
        Self {
            pid,
            events,
            method: Method::probe(),
            before: Look::default(),
            after: Look::default(),
            next: Instant::now(),
            ended_at: 0,
            explained: None,
            moves: None,
            moved: Moved::default(),
            room: room as usize,
        }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut look = Look::at(self.pid.get(), self.method)?;
        let lazily_freed = look.resident.lazily_freed;
        look.residency
            .look_closer(self.pid.get(), &self.before.residency, lazily_freed)?;
        self.after = look;
        self.moved.looked(self.after.residency.time);
        self.next = Instant::now() + (begin.elapsed() * SHARE).max(Duration::from_millis(400));
        Ok(())
    }

    fn take_move(&mut self, bpf: &Bpf, step: &Move) -> anyhow::Result<()> {
        let tgid = self.pid.get();
        let before = &self.before.residency.runs;
        self.moved
            .take(step, before, self.room, |page| bpf.touch(tgid, page))
    }
}

impl Source for Pages {
    fn view(&self) -> View {
        View::Pages
    }

    fn prepare(&mut self, bpf: &mut Bpf, unwind: Unwind) -> anyhow::Result<()> {
        let walkers = match self.events {
            FaultEvents::Tracepoints => Walkers::FAULTS,
            FaultEvents::Perf => Walkers::PERF,
        };
        bpf.set_walk(walkers, unwind)?;
        self.moves = bpf.take_moves();
        Ok(bpf.attach_faults(self.events)?)
    }

    /// Pages that `mremap` moves do not fault. It is probed where a module has it, which is libc or a
    /// static program.
    fn attach(
        &mut self,
        bpf: &mut Bpf,
        modules: &Modules,
        index: usize,
        _: bool,
    ) -> anyhow::Result<()> {
        let module = modules.get(index);
        if let (Some(offset), Some(path)) = (module.function_offset("mremap"), module.open_path()) {
            for probe in Probe::mremap(offset) {
                bpf.attach(probe, &path, self.pid)?;
            }
        }
        Ok(())
    }

    fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        self.moves.as_ref().map(bpf::descriptor).transpose()
    }

    fn wake(&mut self, bpf: &Bpf) -> anyhow::Result<()> {
        let moves = self.moves.as_mut().map(bpf::drain_moves);
        for step in moves.into_iter().flatten() {
            self.take_move(bpf, &step)?;
        }
        Ok(())
    }

    fn require(&self, _: &Process) -> anyhow::Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        let events = match self.events {
            FaultEvents::Tracepoints => "tracepoints",
            FaultEvents::Perf => "perf events",
        };
        format!("page faults, by {events}")
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        self.before = Look::at(self.pid.get(), self.method)?;
        self.after = Look {
            residency: self.before.residency.clone(),
            ..self.before
        };
        Ok(())
    }

    fn tick(&mut self) {
        if Instant::now() >= self.next {
            // Fails when the target is ending: then the last look is what there is.
            let _ended = self.look();
        }
    }

    fn end(&mut self, here: bool) {
        self.ended_at = monotonic_now();
        if here {
            settle();
            let _ended = self.look();
        }
    }

    fn outcome(&mut self, bpf: &Bpf, latest: u64) -> anyhow::Result<Outcome> {
        self.wake(bpf)?;
        if self.ended_at > self.after.residency.time {
            self.moved.back_to(self.after.residency.time);
        }
        let mut touches = Vec::new();
        bpf.touches(|address, touch| touches.push((address, *touch)))?;
        let (before, replaced) = self.moved.before(&self.before.residency);
        let mut explained = explain(self.moved.touches(touches), &before, &self.after.residency);
        explained.given_back += replaced;
        let outcome = Outcome {
            unfreed: explained.unfreed(latest),
            still_there: Some(explained.still_there()),
            share: 1.0,
        };
        self.explained = Some(explained);
        Ok(outcome)
    }

    fn reconciliation(&self) -> Option<Reconciliation> {
        let explained = self.explained.as_ref()?;
        let late = Duration::from_nanos(self.ended_at.saturating_sub(self.after.residency.time));
        Some(Reconciliation {
            before: self.before.resident,
            after: self.after.resident,
            explained: explained.bytes,
            given_back: explained.given_back,
            unexplained: explained.unexplained,
            given_back_lazily: explained.lazily,
            changed_while_looking: self.before.changed.max(self.after.changed),
            looked_before_end: (self.ended_at > self.after.residency.time)
                .then_some(late.as_secs_f64()),
        })
    }

    fn warnings(&mut self) -> Vec<Warning> {
        let pages = self.moved.not_followed;
        (pages > 0)
            .then_some(Warning::MovedPages { pages })
            .into_iter()
            .collect()
    }
}

/// The kernel's own sums.
fn sums(pid: u32) -> anyhow::Result<Resident> {
    let rollup = ProcFs::new(pid.cast_signed())
        .and_then(|process| process.smaps_rollup())
        .with_context(|| format!("reading /proc/{pid}/smaps_rollup"))?;
    let sums = rollup
        .memory_map_rollup
        .0
        .first()
        .map(|map| &map.extension.map);
    let of = |name: &str| sums.and_then(|sums| sums.get(name)).copied().unwrap_or(0);
    Ok(Resident {
        rss: of("Rss"),
        anonymous: of("Anonymous"),
        huge: of("AnonHugePages"),
        swap: of("Swap"),
        lazily_freed: of("LazyFree"),
    })
}
