//! What is recorded, one file per view.

mod heap;
mod pages;
mod sampling;
mod unstripped;

use std::io;
use std::os::fd::OwnedFd;

pub use heap::Heap;
pub use pages::Pages;
pub use unstripped::Unstripped;

use crate::bpf::Bpf;
use crate::hash::HashMap;
use crate::profile::{Kind, Process, Reconciliation, Sampled, Slices, Unwind, View, Weight};
use crate::target::Modules;
use crate::warning::Warning;

/// What is unfreed at each stack, by its id, and by kind where the view tells kinds apart.
pub type Unfreed = HashMap<(u64, Option<Kind>), Weight>;

/// What a recording came to.
pub struct Outcome {
    /// What is unfreed and old enough.
    pub unfreed: Unfreed,
    /// Where giving back is no event that is counted by stack: what is still there.
    pub still_there: Option<StillThere>,
    /// Which share of what was taken was observed: 1, all of it.
    pub share: f64,
}

/// What was taken and not given back, of any age.
#[derive(Debug, Clone, Copy)]
pub struct StillThere {
    /// All of it.
    pub all: Weight,
    /// Of that, what came along with what was taken, and is not counted as taken by the events: the rest
    /// of a huge page.
    pub came_along: Weight,
}

/// Where a view's events come from, and what they come to at the end.
pub trait Source {
    /// The view.
    fn view(&self) -> View;

    /// Loads and attaches what is needed whatever the target has mapped.
    fn prepare(&mut self, bpf: &mut Bpf, unwind: Unwind) -> anyhow::Result<()>;

    /// Attaches what the module with this index needs. `late`: the recording is running, and the
    /// module's code may have run already.
    fn attach(
        &mut self,
        bpf: &mut Bpf,
        modules: &Modules,
        index: usize,
        late: bool,
    ) -> anyhow::Result<()>;

    /// Fails when nothing would be recorded, with what to do about it.
    fn require(&self, process: &Process) -> anyhow::Result<()>;

    /// What events come from, for the line that says that they count.
    fn describe(&self) -> String;

    /// Readable when [`Source::wake`] should be called, where that is ever so.
    fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        Ok(None)
    }

    /// Takes in what the programs have told meanwhile.
    fn wake(&mut self, _bpf: &Bpf) -> anyhow::Result<()> {
        Ok(())
    }

    /// Events count from now on; once, shortly before or after that moment.
    fn begin(&mut self) -> anyhow::Result<()>;

    /// The recording goes on; twice a second.
    fn tick(&mut self);

    /// When events counted, of a recording whose cost was bounded; before [`Source::outcome`].
    fn observed(&mut self, _slices: &Slices) {}

    /// Events do not count any more. `here`: the target still is what it was.
    fn end(&mut self, here: bool);

    /// What it came to, where what is unfreed was taken at `latest` or before (`CLOCK_MONOTONIC`,
    /// nanoseconds).
    fn outcome(&mut self, bpf: &Bpf, latest: u64) -> anyhow::Result<Outcome>;

    /// How blocks were sampled, unless every one was recorded; after [`Source::outcome`].
    fn sampled(&self) -> Option<Sampled> {
        None
    }

    /// How the result compares with the kernel's own account; after [`Source::outcome`].
    fn reconciliation(&self) -> Option<Reconciliation>;

    /// What is doubtful about the result.
    fn warnings(&mut self) -> Vec<Warning>;
}
