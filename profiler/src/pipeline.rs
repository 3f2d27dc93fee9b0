//! Select -> attach -> collect -> symbolize -> [`Profile`]. What to do with the profile is the
//! caller's matter.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use unfreed_common::config::ended;

use crate::allocator::Hints;
use crate::bpf::{self, Bpf, NewStack, Ring, Sizes};
use crate::check;
use crate::collect::{self, RawProfile, Stacks};
use crate::profile::{End, Mode, ProcessMemory, Profile};
use crate::source::{Heap, Unstripped};
use crate::symbolize::symbolize;
use crate::target::{self, MemoryReading, Modules, Started, Target};

/// How often the process's mappings and size are read again.
const TICK: Duration = Duration::from_millis(500);

/// How long programs that were running when the recording ended may take to finish.
const SETTLE: Duration = Duration::from_millis(5);

/// What to record.
#[derive(Debug, Clone)]
pub enum Selection {
    /// A running process.
    Pid(u32),
    /// A command to be started.
    Command(Vec<OsString>),
}

/// How to record.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The target.
    pub selection: Selection,
    /// When to end; `None`: at Ctrl-C or the target's end.
    pub duration: Option<Duration>,
    /// What younger blocks are left out.
    pub min_age: Duration,
    /// What the stacks weigh.
    pub mode: Mode,
    /// Entries of the live map.
    pub max_live: u32,
    /// What the user knows of the allocator.
    pub hints: Hints,
    /// An unstripped copy of the executable, to find the allocator of a stripped one with.
    pub unstripped: Option<PathBuf>,
    /// No progress line.
    pub quiet: bool,
}

/// Records and symbolizes.
pub fn record(settings: &Settings) -> anyhow::Result<Profile> {
    check::host()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(Recording::run(settings))
}

/// A recording that is going on.
struct Recording<'a> {
    settings: &'a Settings,
    bpf: Bpf,
    ring: AsyncFd<Ring>,
    target: Target,
    started: Option<Started>,
    modules: Modules,
    heap: Heap,
    stacks: Stacks,
    before: MemoryReading,
    after: MemoryReading,
}

impl<'a> Recording<'a> {
    async fn run(settings: &'a Settings) -> anyhow::Result<Profile> {
        // Before anything is started or attached: from here on a signal ends the recording in order.
        let mut interrupt = signal(SignalKind::interrupt()).context("watching for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
        let mut recording = Self::prepare(settings)?;
        let started_at = jiff::Timestamp::now().to_string();
        let begin = Instant::now();
        let deadline = settings.duration.map(|duration| begin + duration);
        let mut tick = tokio::time::interval(TICK);
        let pidfd = watch(recording.target.pidfd.try_clone()?)?;
        let end = loop {
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = interrupt.recv() => break End::Interrupted,
                _ = terminate.recv() => break End::Interrupted,
                () = over => break End::Duration,
                _ = pidfd.readable() => break recording.how_it_ended(),
                ready = recording.ring.readable() => {
                    ready.context("waiting for stacks")?.clear_ready();
                    recording.drain();
                }
                _ = tick.tick() => {
                    if let Some(end) = recording.tick(begin)? {
                        break end;
                    }
                }
            }
        };
        recording.finish(end, started_at, begin)
    }

    /// Everything up to the moment from which events count.
    fn prepare(settings: &'a Settings) -> anyhow::Result<Self> {
        let started = match &settings.selection {
            Selection::Pid(_) => None,
            Selection::Command(command) => Some(target::start(command)?),
        };
        let pid = match &settings.selection {
            Selection::Pid(pid) => *pid,
            Selection::Command(_) => started.as_ref().map_or(0, |started| started.id().get()),
        };
        let target = Target::running(pid)?;
        let mut bpf = Bpf::load(Sizes {
            live: settings.max_live,
        })?;
        bpf.attach_process_events()?;
        let ring = bpf.take_ring().context("the ring buffer is gone")?;
        let heap = Heap::of(
            target.pid,
            settings.hints.clone(),
            unstripped(settings, &target)?,
        );
        let mut recording = Self {
            settings,
            bpf,
            ring: watch(ring)?,
            modules: Modules::of(pid),
            heap,
            stacks: Stacks::default(),
            target,
            started,
            before: MemoryReading::default(),
            after: MemoryReading::default(),
        };
        recording.attach_first()?;
        Ok(recording)
    }

    fn attach_first(&mut self) -> anyhow::Result<()> {
        let pid = self.target.pid.get();
        if let Some(started) = self.started.take() {
            // A started command is recorded from its first instruction.
            self.begin()?;
            started.run_loader(|| self.attach_new(false))?;
            self.announce();
            self.require_allocator()?;
            started.let_go()?;
            self.started = Some(started);
        } else {
            self.attach_new(false).with_context(|| {
                format!("process {pid} cannot be probed; has it ended meanwhile?")
            })?;
            self.require_allocator()?;
            self.begin()?;
            self.announce();
        }
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let pid = self.target.pid.get();
        self.before = MemoryReading::of(pid)
            .with_context(|| format!("process {pid} ended before the recording began"))?;
        self.after = self.before;
        self.bpf.set_recording(pid, true)
    }

    fn announce(&self) {
        let process = &self.target.process;
        let allocators = self.heap.allocators.iter().cloned().collect::<Vec<_>>();
        eprintln!(
            "recording {} ({}): {} functions of {}",
            process.pid,
            process.comm,
            self.heap.functions,
            allocators.join(", ")
        );
    }

    fn attach_new(&mut self, late: bool) -> anyhow::Result<()> {
        let new = self.modules.refresh()?;
        self.heap.attach(&mut self.bpf, &self.modules, &new, late)
    }

    fn require_allocator(&self) -> anyhow::Result<()> {
        if !self.heap.allocators.is_empty() {
            return Ok(());
        }
        let process = &self.target.process;
        let why = if self.heap.stripped_static {
            "its executable is statically linked and stripped of symbols, so the functions of its \
             allocator cannot be found"
        } else {
            "no module of it defines malloc or another allocator's functions"
        };
        bail!(
            "no allocator found in process {} ({}): {why}. `unfreed pages` works without one; or \
             name the allocator with --allocator PATH or --allocator PREFIX",
            process.pid,
            process.exe
        );
    }

    fn drain(&mut self) {
        let mut unknown: Vec<NewStack> = Vec::new();
        let (modules, stacks) = (&self.modules, &mut self.stacks);
        bpf::drain(self.ring.get_mut(), |stack| {
            if !stacks.add(modules, &stack) {
                unknown.push(stack);
            }
        });
        // New mappings: read them again, once, while the process lives.
        if !unknown.is_empty() && self.attach_new(true).is_ok() {
            for stack in unknown {
                self.stacks.add(&self.modules, &stack);
            }
        }
    }

    fn tick(&mut self, begin: Instant) -> anyhow::Result<Option<End>> {
        let ended = self.bpf.ended()?;
        if ended.reason == ended::EXEC {
            return Ok(Some(End::Exec));
        }
        if let Some(reading) = MemoryReading::of(self.target.pid.get()) {
            self.after = reading;
        }
        if ended.reason == ended::MAIN_THREAD_EXITED {
            // The process itself ends too, unless other threads go on.
            return Ok(self.others_go_on().then_some(End::MainThreadExited));
        }
        // Fails when the process is ending, which its pidfd will say.
        let _ended: anyhow::Result<()> = self.attach_new(true);
        self.progress(begin)?;
        Ok(None)
    }

    fn others_go_on(&self) -> bool {
        procfs::process::Process::new(self.target.pid.get().cast_signed())
            .and_then(|process| process.stat())
            .is_ok_and(|stat| stat.num_threads > 1)
    }

    fn progress(&self, begin: Instant) -> anyhow::Result<()> {
        let mut stderr = std::io::stderr();
        if self.settings.quiet || !stderr.is_terminal() {
            return Ok(());
        }
        let (mut live, mut events) = (0, 0);
        for entry in self.bpf.stacks()? {
            live += entry.totals.taken_bytes - entry.totals.freed_bytes;
            events += entry.totals.taken_count + entry.totals.freed_count;
        }
        let elapsed = begin.elapsed().as_secs_f64();
        let total = self
            .settings
            .duration
            .map(|total| format!("/{}s", total.as_secs()))
            .unwrap_or_default();
        let live = crate::write::human::bytes(live);
        let rate = events as f64 / elapsed.max(0.001);
        // The terminal may be gone; that must not end the recording.
        let _gone = write!(
            stderr,
            "\r{elapsed:.0}s{total}  {live} unfreed  {rate:.0} events/s\x1b[K"
        );
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

    fn finish(mut self, end: End, started_at: String, begin: Instant) -> anyhow::Result<Profile> {
        let pid = self.target.pid.get();
        self.bpf.set_recording(pid, false)?;
        let duration = begin.elapsed();
        if let Some(reading) = MemoryReading::of(pid)
            && self.bpf.ended()?.reason == ended::NO
        {
            self.after = reading;
        }
        std::thread::sleep(SETTLE);
        self.drain();
        let end_time = match self.bpf.ended()? {
            ended if ended.reason != ended::NO => ended.time,
            _ => monotonic_now(),
        };
        if !self.settings.quiet && std::io::stderr().is_terminal() {
            eprintln!();
        }
        let Self {
            settings,
            bpf,
            target,
            modules,
            heap,
            stacks,
            before,
            after,
            ..
        } = self;
        let counted = collect::count(&bpf, stacks, settings.mode, settings.min_age, end_time)?;
        let raw = RawProfile {
            mode: settings.mode,
            process: target.process,
            started_at,
            duration,
            min_age: settings.min_age,
            end,
            totals: counted.totals,
            memory: ProcessMemory {
                rss_before: before.rss,
                rss_after: after.rss,
                vsz_before: before.vsz,
                vsz_after: after.vsz,
            },
            losses: bpf.losses()?,
            notes: bpf.notes()?,
            warnings: heap.warnings,
            stacks: counted.stacks,
        };
        // The probes go before the slow part.
        drop(bpf);
        Ok(symbolize(raw, &modules.into_modules()))
    }
}

/// Content of the unstripped copy of the executable, where the user names one.
fn unstripped(settings: &Settings, target: &Target) -> anyhow::Result<Option<Unstripped>> {
    let Some(path) = &settings.unstripped else {
        return Ok(None);
    };
    let copy =
        std::fs::read(path).with_context(|| format!("reading --allocator {}", path.display()))?;
    Unstripped::of(target.process.exe.clone(), copy)
        .with_context(|| format!("using --allocator {}", path.display()))
        .map(Some)
}

/// Has the runtime watch a descriptor.
fn watch<T: AsRawFd>(inner: T) -> anyhow::Result<AsyncFd<T>> {
    // SAFETY: `inner` (a pidfd or a ring buffer) owns its descriptor, is moved into the result, and
    // is neither closed nor replaced before that is dropped.
    unsafe { AsyncFd::register(inner) }
        .map_err(std::io::Error::from)
        .context("watching a file descriptor")
}

/// `CLOCK_MONOTONIC` in nanoseconds, the clock of `bpf_ktime_get_ns`.
fn monotonic_now() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(u64::MAX, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}
