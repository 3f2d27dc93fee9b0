//! One recording: attach, watch, end.

mod finish;

use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use unfreed_common::config::ended;

use super::bound::{self, Cost, Gaps};
use super::mappings::{FirstLook, Mappings};
use super::view::{sizes, source};
use super::{Progress, Recorded, Selection, Settings, Watcher};
use crate::bpf::{self, Bpf, NewStack, Probe, Ring};
use crate::check::{self, Kernel};
use crate::collect::Stacks;
use crate::profile::End;
use crate::readiness::watch;
use crate::source::Source;
use crate::target::{self, MemoryReading, Module, Started, Target};
use crate::tracker::Built;

/// How often the process's mappings and size are read again.
const TICK: Duration = Duration::from_millis(500);

/// How often what recording costs is looked at, where that is bounded.
const ACCOUNT: Duration = Duration::from_millis(20);

/// The least time between two readings for the sake of frames that are in no known mapping.
const REFRESH: Duration = Duration::from_millis(10);

/// A recording that is going on.
pub struct Recording<'a> {
    settings: &'a Settings,
    watcher: &'a mut dyn Watcher,
    bpf: Bpf,
    ring: AsyncFd<Ring>,
    target: Target,
    started: Option<Started>,
    mappings: Mappings,
    source: Box<dyn Source>,
    stacks: Stacks,
    /// Stacks with frames in no known mapping.
    unlocated: Vec<NewStack>,
    /// When the mappings were last read.
    refreshed: Instant,
    /// Since when events count.
    begin: Instant,
    /// The same for people.
    started_at: Timestamp,
    before: MemoryReading,
    after: MemoryReading,
    /// What a run of a program costs, where that is bounded.
    cost: Option<Cost>,
    /// The bound, from when events count.
    gaps: Option<Gaps>,
}

impl<'a> Recording<'a> {
    /// Records from the start to the end.
    pub async fn run(
        settings: &'a Settings,
        watcher: &'a mut dyn Watcher,
        kernel: Kernel,
    ) -> anyhow::Result<Recorded> {
        let mut until = watcher.until()?;
        let (sender, mut built) = unbounded_channel();
        let mut recording = Self::prepare(settings, watcher, kernel, sender)?;
        let mapped = watch(recording.mappings.watch())?;
        let deadline = settings.duration.map(|duration| Instant::now() + duration);
        let mut tick = tokio::time::interval(TICK);
        let mut account = tokio::time::interval(ACCOUNT);
        let pidfd = watch(recording.target.pidfd.try_clone()?)?;
        let told = recording.source.descriptor()?.map(watch).transpose()?;
        let end = loop {
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut until => break End::Interrupted,
                () = over => break End::Duration,
                _ = pidfd.readable() => break recording.how_it_ended(),
                ready = mapped.readable() => {
                    ready.context("waiting for mappings")?.clear_ready();
                    if recording.mappings.wake()? {
                        recording.follow();
                    }
                }
                Some(table) = built.recv() => {
                    recording.mappings.place(table);
                    recording.follow();
                }
                ready = recording.ring.readable() => {
                    ready.context("waiting for stacks")?.clear_ready();
                    recording.drain();
                }
                ready = readable(told.as_ref()) => {
                    ready.context("waiting for the programs")?.clear_ready();
                    recording.source.wake(&recording.bpf)?;
                }
                _ = account.tick(), if recording.gaps.is_some() => recording.account()?,
                _ = tick.tick() => {
                    if let Some(end) = recording.tick()? {
                        break end;
                    }
                }
            }
        };
        recording.finish(end)
    }

    /// Everything up to the moment from which events count.
    fn prepare(
        settings: &'a Settings,
        watcher: &'a mut dyn Watcher,
        kernel: Kernel,
        built: UnboundedSender<Built>,
    ) -> anyhow::Result<Self> {
        let started = match &settings.selection {
            Selection::Pid(_) => None,
            Selection::Command(command) => Some(target::start(command)?),
        };
        let pid = match &settings.selection {
            Selection::Pid(pid) => *pid,
            Selection::Command(_) => started.as_ref().map_or(0, |started| started.id().get()),
        };
        // Not before: the command would inherit it.
        check::raise_file_limit();
        let target = Target::running(pid)?;
        let (mut source, symbols) = source(settings, kernel, &target)?;
        let first = FirstLook::at(pid, settings.unwind, symbols)?;
        let rows = first.rows(settings.footprint.rows);
        let mut bpf = bound::load(sizes(settings, kernel, target.threads(), rows))?;
        let bounded = settings.max_overhead().is_some();
        let cost = bounded.then(|| Cost::measure(&mut bpf)).transpose();
        let cost = cost.context("measuring what a probe costs")?;
        source.prepare(&mut bpf, settings.unwind)?;
        bpf.attach_process_events()?;
        let ring = bpf.take_ring().context("the ring buffer is gone")?;
        let maps = bpf.take_tables().context("the tables are gone")?;
        let mut recording = Self {
            settings,
            watcher,
            bpf,
            ring: watch(ring)?,
            mappings: first.follow(maps, built)?,
            source,
            stacks: Stacks::default(),
            unlocated: Vec::new(),
            refreshed: Instant::now(),
            begin: Instant::now(),
            started_at: Timestamp::now(),
            target,
            started,
            before: MemoryReading::default(),
            after: MemoryReading::default(),
            cost,
            gaps: None,
        };
        recording.attach_first()?;
        Ok(recording)
    }

    fn attach_first(&mut self) -> anyhow::Result<()> {
        let pid = self.target.pid.get();
        if let Some(mut started) = self.started.take() {
            // A started command is recorded from its first instruction.
            self.begin()?;
            started.run_loader(|| self.attach_new(false))?;
            // What the loader has said since the last time.
            self.attach_new(false)?;
            self.source.require(&self.target.process)?;
            self.announce();
            started.let_go()?;
            self.started = Some(started);
        } else {
            self.attach_new(false).with_context(|| {
                format!("process {pid} cannot be probed; has it ended meanwhile?")
            })?;
            self.source.require(&self.target.process)?;
            self.begin()?;
            self.consent()?;
            self.announce();
        }
        Ok(())
    }

    /// Makes sure that what is recorded is the program that may be.
    fn consent(&mut self) -> anyhow::Result<()> {
        self.watcher.consents(&self.target.process)?;
        // Else the answer may be about another program than the one that events came from before.
        if self.bpf.ended()?.reason != ended::NO {
            let pid = self.target.pid;
            bail!("process {pid} ended or executed another program while it was attached to");
        }
        Ok(())
    }

    /// Says that everything is attached.
    fn announce(&mut self) {
        let probes = self.source.describe();
        self.watcher.recording(&self.target.process, &probes);
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let pid = self.target.pid.get();
        self.before = MemoryReading::of(pid)
            .with_context(|| format!("process {pid} ended before the recording began"))?;
        self.after = self.before;
        (self.begin, self.started_at) = (Instant::now(), Timestamp::now());
        self.bpf.set_recording(pid, self.settings.unwind, true)?;
        if let (Some(cost), Some(percent)) = (self.cost, self.settings.max_overhead()) {
            let unwind = self.settings.unwind;
            self.gaps = Some(Gaps::of(&self.bpf, pid, unwind, percent, cost)?);
        }
        self.source.begin()
    }

    fn drain(&mut self) {
        let mut arrived = Vec::new();
        bpf::drain(self.ring.get_mut(), |stack| arrived.push(stack));
        // After the stacks: what they run through was mapped before.
        self.mappings.hear();
        for stack in arrived {
            if !self.mappings.locate(&stack, &mut self.stacks) {
                self.unlocated.push(stack);
            }
        }
        // Something new is mapped, or a frame is none: read the mappings again, while the process
        // lives, but not for each of many such stacks.
        if !self.unlocated.is_empty() && self.refreshed.elapsed() >= REFRESH {
            self.follow();
        }
    }

    /// Brings everything in line with what is mapped now.
    fn follow(&mut self) {
        // Fails when the process is ending, which its pidfd will say.
        let _ended: anyhow::Result<()> = self.attach_new(true);
    }

    /// Probes what is new among the modules.
    fn attach_new(&mut self, late: bool) -> anyhow::Result<()> {
        self.read_mappings(late)?;
        while let Some(index) = self.mappings.take_new() {
            let modules = self.mappings.modules();
            attach_linker(&mut self.bpf, self.target.pid, modules.get(index))?;
            self.source.attach(&mut self.bpf, modules, index, late)?;
            // Probing takes its time, and code without an unwind table may be about to run.
            if self.mappings.wake()? {
                self.read_mappings(late)?;
            }
        }
        Ok(())
    }

    /// Reads the mappings again, and locates the stacks that were waiting for that.
    fn read_mappings(&mut self, late: bool) -> anyhow::Result<()> {
        self.mappings.read(!late)?;
        self.refreshed = Instant::now();
        for stack in self.unlocated.drain(..) {
            self.mappings.locate(&stack, &mut self.stacks);
        }
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<Option<End>> {
        let ended = self.bpf.ended()?;
        if ended.reason == ended::EXEC {
            return Ok(Some(End::Exec));
        }
        if let Some(reading) = MemoryReading::of(self.target.pid.get()) {
            self.after = reading;
        }
        self.source.tick();
        if ended.reason == ended::MAIN_THREAD_EXITED {
            // The process itself ends too, unless other threads go on.
            return Ok((self.target.threads() > 1).then_some(End::MainThreadExited));
        }
        self.follow();
        let elapsed = self.begin.elapsed();
        if self.watcher.wants_progress(elapsed) {
            let slices = self.gaps.as_ref().map(Gaps::so_far);
            let progress = Progress::of(&self.bpf, elapsed, self.settings.duration, slices)?;
            self.watcher.progress(&progress);
        }
        Ok(None)
    }

    /// Keeps what recording costs within its bound.
    fn account(&mut self) -> anyhow::Result<()> {
        let Some(mut gaps) = self.gaps.take() else {
            return Ok(());
        };
        if gaps.tick(&mut self.bpf)? {
            // What is mapped meanwhile is known before it is recorded again.
            self.follow();
            gaps.resume(&mut self.bpf)?;
        }
        self.gaps = Some(gaps);
        Ok(())
    }

    fn how_it_ended(&mut self) -> End {
        use std::os::unix::process::ExitStatusExt as _;
        let Some(started) = &mut self.started else {
            return End::Exited(None);
        };
        match started.ended() {
            Some(status) => match status.signal() {
                Some(signal) => End::Killed(signal),
                None => End::Exited(status.code()),
            },
            None => End::Exited(None),
        }
    }
}

/// Has the dynamic linker say when it is about to change mappings.
fn attach_linker(bpf: &mut Bpf, pid: NonZeroU32, module: &Module) -> anyhow::Result<()> {
    if let (Some(offset), Some(path)) = (
        module.function_offset("_dl_debug_state"),
        module.open_path(),
    ) {
        bpf.attach(Probe::linker_state(offset), &path, pid)?;
    }
    Ok(())
}

/// Waits until what is watched is readable; for ever when there is nothing.
async fn readable<T: AsRawFd>(
    watched: Option<&AsyncFd<T>>,
) -> std::io::Result<AsyncFdReadyGuard<'_, T>> {
    match watched {
        Some(watched) => watched.readable().await,
        None => std::future::pending().await,
    }
}
