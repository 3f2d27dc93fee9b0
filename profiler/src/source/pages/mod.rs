//! The pages view: page faults say who touched which page first, a look at the process's page tables
//! says which pages are resident, and the kernel's sums say whether both add up.

mod explain;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use procfs::process::Process as ProcFs;

use super::{Outcome, Source};
use crate::bpf::{Bpf, FaultEvents, Walkers};
use crate::profile::{Process, Reconciliation, Resident, Unwind, View};
use crate::target::{Method, Modules, Residency, monotonic_now};
use crate::warning::Warning;
use explain::{Explained, explain};

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
}

/// What was resident at one moment, by the kernel's sums and page by page.
#[derive(Default)]
struct Look {
    resident: Resident,
    residency: Residency,
}

impl Look {
    fn at(pid: u32, method: Method) -> anyhow::Result<Self> {
        Ok(Self {
            resident: sums(pid)?,
            residency: Residency::of(pid, method)?,
        })
    }
}

impl Pages {
    /// Nothing is attached yet.
    pub fn of(pid: NonZeroU32, events: FaultEvents) -> Self {
        Self {
            pid,
            events,
            method: Method::probe(),
            before: Look::default(),
            after: Look::default(),
            next: Instant::now(),
            ended_at: 0,
            explained: None,
        }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        self.after = Look::at(self.pid.get(), self.method)?;
        self.next = Instant::now() + (begin.elapsed() * SHARE).max(Duration::from_millis(400));
        Ok(())
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
        Ok(bpf.attach_faults(self.events)?)
    }

    fn attach(&mut self, _: &mut Bpf, _: &Modules, _: usize, _: bool) -> anyhow::Result<()> {
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
            resident: self.before.resident,
            residency: self.before.residency.clone(),
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
            let _ended = self.look();
        }
    }

    fn outcome(&mut self, bpf: &Bpf, latest: u64) -> anyhow::Result<Outcome> {
        let mut touches = Vec::new();
        bpf.touches(|address, touch| touches.push((address, *touch)))?;
        let explained = explain(
            touches,
            &self.before.residency.runs,
            &self.after.residency.runs,
        );
        let outcome = Outcome {
            unfreed: explained.unfreed(latest),
            still_there: Some(explained.still_there()),
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
            looked_before_end: (self.ended_at > self.after.residency.time)
                .then_some(late.as_secs_f64()),
        })
    }

    fn warnings(&mut self) -> Vec<Warning> {
        Vec::new()
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
    })
}
