//! What the target has mapped: followed, so that stacks are walked by the right tables and located in
//! the right files.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::sync::mpsc::UnboundedSender;

use crate::bpf::{NewStack, Tables};
use crate::collect::Stacks;
use crate::profile::Unwind;
use crate::target::{MapEvents, Mapped, Module, Modules, may_load};
use crate::tracker::{self, Built, Tracker};
use crate::warning::Warning;

/// How often mappings are read again at once when the process says meanwhile that they change.
const READ_AGAIN: usize = 4;

/// What is mapped before the programs are loaded.
pub struct FirstLook {
    pid: u32,
    unwind: Unwind,
    modules: Modules,
    events: Events,
    tables: Vec<Built>,
}

/// The kernel's word on what is mapped.
enum Events {
    /// It is asked.
    Heard(MapEvents),
    /// It is not, as it makes each mapping of each process on the machine dearer, and this one has loaded nothing so
    /// far.
    NotAsked,
    /// It does not tell: mappings are only read now and then.
    Refused(io::Error),
}

impl Events {
    fn listen() -> Self {
        MapEvents::listen().map_or_else(Self::Refused, Self::Heard)
    }

    fn take(&mut self, pid: u32) -> Vec<Mapped> {
        match self {
            Self::Heard(events) => events.take(pid),
            Self::NotAsked | Self::Refused(_) => Vec::new(),
        }
    }
}

/// What is mapped.
pub struct Mappings {
    pid: u32,
    modules: Modules,
    events: Events,
    tracker: Tracker,
    watched: Watched,
}

/// Readable when something is or will be mapped.
#[derive(Clone)]
pub struct Watched(Arc<Epoll>);

impl Watched {
    fn add(&self, descriptor: impl AsFd) -> anyhow::Result<()> {
        self.0
            .add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .context("watching mappings")
    }
}

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl FirstLook {
    /// Reads mappings and makes their unwind tables. `symbols`: the path of a module, and of a file
    /// with its symbols.
    pub fn at(
        pid: u32,
        unwind: Unwind,
        symbols: Option<(String, PathBuf)>,
    ) -> anyhow::Result<Self> {
        let mut modules = Modules::of(pid, symbols);
        modules.refresh(Vec::new)?;
        let mut events = Events::NotAsked;
        if may_load(&modules) {
            events = Events::listen();
            // What was mapped before it was told.
            modules.refresh(Vec::new)?;
        }
        let tables = tracker::tables_of(&modules, unwind);
        Ok(Self {
            pid,
            unwind,
            modules,
            events,
            tables,
        })
    }

    /// How many rows of unwind tables there should be room for: at least so many.
    pub fn rows(&self, least: u32) -> u32 {
        tracker::room_for(&self.tables, self.unwind, least)
    }

    /// Goes on with the loaded programs' maps. `built` takes the tables that are made meanwhile, for
    /// [`Mappings::place`].
    pub fn follow(self, maps: Tables, built: UnboundedSender<Built>) -> anyhow::Result<Mappings> {
        let mut tracker = Tracker::of(self.unwind, maps, built);
        tracker.follow(self.pid)?;
        tracker.place(self.tables);
        let watched = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("watching mappings")?;
        let watched = Watched(Arc::new(watched));
        watched.add(tracker.descriptor())?;
        let mut mappings = Mappings {
            pid: self.pid,
            modules: self.modules,
            events: Events::NotAsked,
            tracker,
            watched,
        };
        mappings.listen_to(self.events)?;
        Ok(mappings)
    }
}

impl Mappings {
    /// Reads them again and brings the tables up to date. `wait`: makes new tables at once. Fails when
    /// the process has ended.
    pub fn read(&mut self, wait: bool) -> anyhow::Result<()> {
        for _ in 0..READ_AGAIN {
            let changes = self.tracker.changes(self.pid)?;
            if changes > 0 && matches!(self.events, Events::NotAsked) {
                self.listen_to(Events::listen())?;
            }
            let (events, pid) = (&mut self.events, self.pid);
            self.modules.refresh(|| events.take(pid))?;
            self.tracker
                .publish(self.pid, &self.modules, changes, wait)?;
            if self.tracker.changes(self.pid)? == changes {
                break;
            }
        }
        Ok(())
    }

    /// Takes in which files have been mapped. Returns whether any has.
    pub fn hear(&mut self) -> bool {
        let told = self.events.take(self.pid);
        let any = !told.is_empty();
        self.modules.tell(told);
        any
    }

    /// Takes note of what woke the watcher: of this process's mappings, or of another's. Returns
    /// whether they are to be read again.
    pub fn wake(&mut self) -> anyhow::Result<bool> {
        let told = self.hear();
        Ok(self.tracker.is_behind(self.pid)? || told)
    }

    /// Puts a table in place that has been made meanwhile.
    pub fn place(&mut self, table: Built) {
        self.tracker.place([table]);
    }

    /// Readable when [`Mappings::wake`] should be asked.
    pub fn watch(&self) -> Watched {
        self.watched.clone()
    }

    fn listen_to(&mut self, events: Events) -> anyhow::Result<()> {
        if let Events::Heard(events) = &events {
            for descriptor in events.descriptors() {
                self.watched.add(descriptor)?;
            }
        }
        self.events = events;
        Ok(())
    }

    /// Locates a stack's frames. Returns whether all of them were found.
    pub fn locate(&self, stack: &NewStack, stacks: &mut Stacks) -> bool {
        let generation = stack.header.generation;
        stacks.add(&self.modules, stack, |address| {
            self.tracker.walked_by(self.pid, generation, address)
        })
    }

    /// The index of the next module that has not been returned yet.
    pub fn take_new(&mut self) -> Option<usize> {
        self.modules.take_new()
    }

    /// All modules there are or were.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// How many rows of unwind tables are in use.
    pub fn table_rows(&self) -> u64 {
        self.tracker.rows_in_use()
    }

    /// What is doubtful about the stacks for want of unwind tables.
    pub fn warnings(&self) -> Vec<Warning> {
        let unheard = match &self.events {
            Events::Refused(error) => Some(format!("the kernel refused to tell: {error}")),
            Events::Heard(events) if events.lost > 0 => {
                Some(format!("{} events were lost", events.lost))
            }
            Events::Heard(_) | Events::NotAsked => None,
        };
        let mut warnings =
            Vec::from_iter(unheard.map(|reason| Warning::MappingsUnheard { reason }));
        for (module, reason) in self.tracker.without_table(self.pid) {
            warnings.push(Warning::NoUnwindTable {
                module: self.modules.get(module).path.clone(),
                reason: reason.to_string(),
            });
        }
        let modules = self.tracker.without_room();
        if modules > 0 {
            warnings.push(Warning::TablesFull { modules });
        }
        warnings
    }

    /// All modules there are or were.
    pub fn into_modules(self) -> Vec<Module> {
        self.modules.into_modules()
    }
}
