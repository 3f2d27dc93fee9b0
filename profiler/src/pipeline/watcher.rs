//! Who is told what a recording does, and who ends it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::bpf::Bpf;
use crate::profile::{Process, Slices, Weight};

/// Resolves when a recording is to end.
pub type Until = Pin<Box<dyn Future<Output = ()>>>;

/// The one who wants a recording: a terminal, or the daemon.
pub trait Watcher {
    /// What ends the recording beside its duration and the target's end. Asked first of all, before anything is
    /// started or attached, in the runtime of the recording.
    fn until(&mut self) -> anyhow::Result<Until>;

    /// Something about this machine is doubtful.
    fn warn(&mut self, warning: &str);

    /// Whether this process, as it is now, may be recorded; if not, there is no recording. Asked when events count
    /// already: its end, and another program in it, are noticed from then on.
    fn consents(&mut self, _process: &Process) -> anyhow::Result<()> {
        Ok(())
    }

    /// Everything is attached: from now on all counts. `probes`: where they are, in words.
    fn recording(&mut self, process: &Process, probes: &str);

    /// Whether [`Self::progress`] wants to be called so long after the beginning. It costs a reading of a map.
    fn wants_progress(&mut self, elapsed: Duration) -> bool;

    /// How it is going.
    fn progress(&mut self, progress: &Progress);

    /// Events do not count any more; what was recorded is now read.
    fn over(&mut self);
}

/// Resolves at the first SIGINT or SIGTERM; from now on these end nothing by themselves. Needs a runtime.
pub fn interrupted() -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// How a recording is going.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Since its beginning.
    pub elapsed: Duration,
    /// Its duration, if that is known.
    pub total: Option<Duration>,
    /// What was taken.
    pub taken: Weight,
    /// Of that, what was given back.
    pub given_back: Weight,
    /// Events lost, by reason; zeros included.
    pub losses: BTreeMap<String, u64>,
    /// When events counted, where the cost is bounded.
    pub slices: Option<Slices>,
}

impl Progress {
    /// Of the recording by these programs.
    pub fn of(
        bpf: &Bpf,
        elapsed: Duration,
        total: Option<Duration>,
        slices: Option<Slices>,
    ) -> anyhow::Result<Self> {
        let given_back = bpf.given_back()?;
        let mut taken = Weight::default();
        for entry in bpf.stacks()? {
            taken += entry.taken;
        }
        Ok(Self {
            elapsed,
            total,
            taken,
            given_back,
            losses: bpf.losses_by_name()?,
            slices,
        })
    }

    /// What is unfreed now, of any age.
    pub fn unfreed(&self) -> Weight {
        self.taken.less(self.given_back)
    }
}
