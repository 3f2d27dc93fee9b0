//! Decides what is recorded when: follows the processes of the configured targets, looks at their size, starts
//! workers, and has what they write stored. One task; whatever may take time is done elsewhere.

mod arrivals;
mod lives;
mod process;
mod publish;
mod recordings;
mod requests;
mod run;
mod shelf;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::BitOr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch as latest;
use tracing::{info, warn};

use super::config::{Config, Target};
use super::control::{Control, Request};
use super::entry::Id;
use super::reading::Wants;
use super::status::{Fired, Health, Status};
use super::store::Store;
use super::systemd;
use super::trigger::Settings;
use super::worker::Heard;
use crate::bpf::Processes;
use crate::readiness::watch;
use arrivals::Arrivals;
use process::Process;
use run::Run;
use shelf::Shelf;

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(500);

/// How often all processes are looked at, whatever was heard of them: names change without an event.
const SCAN: Duration = Duration::from_mins(1);

/// How long recordings have to be written when the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(8);

/// How many requests may wait.
const REQUESTS: usize = 64;

/// What somebody outside wants.
pub enum Signal {
    /// Another configuration.
    Reload(Box<Config>),
    /// The end.
    Stop,
}

/// The supervisor.
pub struct Supervisor {
    config: Config,
    /// What is to be read of the processes of each target.
    wants: Vec<Wants>,
    shelf: Shelf,
    lives: AsyncFd<Processes>,
    arrivals: Arrivals,
    processes: BTreeMap<u32, Process>,
    runs: BTreeMap<Id, Run>,
    /// Recordings whose workers have said all and are not gone.
    leaving: BTreeSet<Id>,
    /// By target: what fired, newest last.
    fired: BTreeMap<String, VecDeque<Fired>>,
    health: Health,
    next_scan: Instant,
    /// Told to stop.
    is_ending: bool,
    /// How often systemd wants to hear that we live, and when next.
    alive_every: Option<Duration>,
    next_alive: Instant,
    /// What systemd was last told of what is being done.
    doing: String,
    /// The path of this program.
    own_exe: String,
    ear: UnboundedSender<(Id, Heard)>,
    heard: UnboundedReceiver<(Id, Heard)>,
    requests: mpsc::Receiver<Request>,
    status: latest::Sender<Arc<Status>>,
}

impl Supervisor {
    /// Watches processes from now on.
    pub fn new(config: Config, store: Arc<Store>) -> anyhow::Result<(Self, Control)> {
        let (ear, heard) = mpsc::unbounded_channel();
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (status, reader) = latest::channel(Arc::default());
        let lives = Processes::watch()?;
        let supervisor = Self {
            wants: wants(&config),
            shelf: Shelf::new(store, &config),
            config,
            lives: watch(lives)?,
            arrivals: Arrivals::default(),
            processes: BTreeMap::new(),
            runs: BTreeMap::new(),
            leaving: BTreeSet::new(),
            fired: BTreeMap::new(),
            health: Health::default(),
            next_scan: Instant::now(),
            is_ending: false,
            alive_every: systemd::alive_every(),
            next_alive: Instant::now(),
            doing: String::new(),
            own_exe: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            ear,
            heard,
            requests,
            status,
        };
        let control = Control {
            requests: sender,
            status: reader,
        };
        Ok((supervisor, control))
    }

    /// Goes on until told to stop; then everything that is being recorded is written.
    pub async fn run(mut self, signals: &mut mpsc::Receiver<Signal>) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                signal = signals.recv() => match signal {
                    Some(Signal::Reload(config)) => self.reload(*config),
                    Some(Signal::Stop) | None => break,
                },
                // Before what workers say: how a process ended is known when its recording is over.
                ready = self.lives.readable() => {
                    ready.context("waiting for processes")?.clear_ready();
                    self.live();
                }
                Some((id, heard)) = self.heard.recv() => self.hear(&id, heard),
                Some(stored) = self.shelf.stored() => self.stored(stored),
                Some(request) = self.requests.recv() => self.request(request),
                _ = tick.tick() => self.tick(),
            }
        }
        self.end().await;
        Ok(())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if let Some(every) = self.alive_every
            && now >= self.next_alive
        {
            self.next_alive = now + every;
            systemd::alive();
        }
        if now >= self.next_scan {
            self.next_scan = now + SCAN;
            self.scan();
            self.shelf.sweep();
        }
        for pid in self.arrivals.due(now) {
            self.look_at(pid);
        }
        self.read_sizes(now);
        self.begin_due(now);
        self.publish();
    }

    /// Writes everything that is being recorded.
    async fn end(&mut self) {
        let now = Instant::now();
        info!(recordings = self.runs.len(), "ending");
        self.is_ending = true;
        self.processes.clear();
        self.lives.get_mut().end();
        for run in self.runs.values_mut() {
            run.stop(now);
        }
        self.settle();
        let deadline = tokio::time::Instant::from_std(now + LAST_WORDS);
        while !self.runs.is_empty() || self.shelf.is_busy() {
            let over = tokio::time::timeout_at(deadline, async {
                tokio::select! {
                    Some((id, heard)) = self.heard.recv() => self.hear(&id, heard),
                    Some(stored) = self.shelf.stored() => self.stored(stored),
                }
            });
            if over.await.is_err() {
                break;
            }
        }
        for (id, run) in &mut self.runs {
            warn!(recording = %id, "not written in time, and given up");
            run.kill();
        }
    }

    /// From now on this is the configuration. What did not change in it goes on.
    fn reload(&mut self, config: Config) {
        let old = std::mem::replace(&mut self.config, config);
        self.wants = wants(&self.config);
        self.shelf.reload(&self.config);
        let targets = &self.config.targets;
        let mut gone = Vec::new();
        for (pid, process) in &mut self.processes {
            let before = old.targets.get(process.target);
            match targets.iter().position(|target| Some(target) == before) {
                Some(index) => process.target = index,
                None => gone.push(*pid),
            }
        }
        self.fired
            .retain(|name, _| targets.iter().any(|target| target.name == *name));
        for pid in gone {
            self.release(pid);
        }
        self.next_scan = Instant::now();
        info!(targets = self.config.targets.len(), "reloaded");
    }
}

/// What is to be read of the processes of each target.
fn wants(config: &Config) -> Vec<Wants> {
    let of_target = |target: &Target| {
        let triggers = target.triggers.iter().map(Settings::wants);
        triggers.fold(Wants::default(), BitOr::bitor)
    };
    config.targets.iter().map(of_target).collect()
}
