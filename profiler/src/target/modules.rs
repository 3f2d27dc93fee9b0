//! What a process executes: which file is mapped where, now and before.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use anyhow::Context as _;
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process as ProcFs};

use super::module::{Module, name_of};
use super::{Mapped, monotonic_now};

/// How many mappings are remembered, those that are gone included: a compiler at run time can make any
/// number.
const MAX_REMEMBERED: usize = 8192;

/// What an address of the process belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// A module, by its index, and the address as the module's ELF headers count it.
    Module(usize, u64),
    /// No executable mapping known.
    Unknown,
}

/// One executable mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Where in the file it begins.
    pub file_offset: u64,
    /// Index of its module.
    pub module: usize,
    /// From when on: `CLOCK_MONOTONIC` in nanoseconds, 0 for before the recording.
    since: u64,
}

impl Range {
    /// A mapping of the first module.
    #[cfg(test)]
    pub fn of(start: u64, end: u64, file_offset: u64) -> Self {
        Self {
            start,
            end,
            file_offset,
            module: 0,
            since: 0,
        }
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether this is `known` or a part of it: the same file at the same place.
    pub fn is_same_as(&self, known: &Self) -> bool {
        known.module == self.module
            && known.start <= self.start
            && self.end <= known.end
            && known.start.wrapping_sub(known.file_offset)
                == self.start.wrapping_sub(self.file_offset)
    }
}

/// All modules a process has, or had since it is watched.
pub struct Modules {
    pid: u32,
    unstripped: Option<(String, PathBuf)>,
    all: Vec<Module>,
    by_file: HashMap<(i32, i32, u64, String), usize>,
    /// As last read.
    current: Vec<Range>,
    /// Oldest first; also those that are gone: stacks taken while they existed may still arrive.
    remembered: Vec<Range>,
    /// How many modules were returned as new.
    returned: usize,
    /// When the mappings were last read.
    read_at: u64,
}

impl Modules {
    /// Knows nothing yet: call [`Modules::refresh`]. `unstripped`: the path of a module, and of a
    /// file with its symbols.
    pub fn of(pid: u32, unstripped: Option<(String, PathBuf)>) -> Self {
        Self {
            pid,
            unstripped,
            all: Vec::new(),
            by_file: HashMap::new(),
            current: Vec::new(),
            remembered: Vec::new(),
            returned: 0,
            read_at: 0,
        }
    }

    /// Reads the process's mappings again. `told`: asks what the kernel has told meanwhile, oldest
    /// first; asked after the reading, since the kernel says best when something was mapped. Fails when
    /// the process has ended; what was known stays known.
    pub fn refresh(&mut self, told: impl FnOnce() -> Vec<Mapped>) -> anyhow::Result<()> {
        let now = monotonic_now();
        let process = ProcFs::new(self.pid.cast_signed())?;
        let maps = process
            .maps()
            .with_context(|| format!("reading the mappings of process {}", self.pid))?;
        self.tell(told());
        let mut current = Vec::new();
        for map in maps {
            if map.perms.contains(MMPermissions::EXECUTE) {
                let (start, end) = map.address;
                let module = self.module_of(&map, false);
                let range = Range {
                    start,
                    end,
                    file_offset: map.offset,
                    module,
                    since: self.read_at,
                };
                self.found(range, now);
                current.push(range);
            }
        }
        self.current = current;
        self.read_at = now;
        Ok(())
    }

    /// The index of the next module that has not been returned yet.
    pub fn take_new(&mut self) -> Option<usize> {
        let next = self.returned;
        self.returned = self.all.len().min(next + 1);
        (next < self.all.len()).then_some(next)
    }

    /// Takes in what the kernel has told, oldest first.
    pub fn tell(&mut self, events: Vec<Mapped>) {
        for event in events {
            let module = self.module_of_event(&event);
            let range = Range {
                start: event.start,
                end: event.end,
                file_offset: event.file_offset,
                module,
                since: event.time,
            };
            self.remember(range);
        }
    }

    /// The executable mappings as they were last read, by address.
    pub fn current(&self) -> &[Range] {
        &self.current
    }

    /// Enters a range that was found at a reading which `began` at this time.
    fn found(&mut self, mut range: Range, began: u64) {
        let mut known = self.remembered.iter().rev();
        if let Some(newest) = known.find(|known| known.overlaps(&range)) {
            if newest.since >= began {
                // It has been replaced since then, or the kernel has told of it.
                return;
            }
            range.since = range.since.max(newest.since + 1);
        }
        self.remember(range);
    }

    /// Enters a range at its time, unless it is what is known to have been there.
    fn remember(&mut self, range: Range) {
        // What the kernel tells comes from each processor in order, but not from all together.
        let at = self
            .remembered
            .partition_point(|known| known.since <= range.since);
        let mut before = self.remembered[..at].iter().rev();
        if let Some(newest) = before.find(|known| known.overlaps(&range))
            && range.is_same_as(newest)
        {
            return;
        }
        self.remembered.insert(at, range);
        if self.remembered.len() > MAX_REMEMBERED {
            self.remembered.drain(..MAX_REMEMBERED / 2);
        }
    }

    /// The mapping that held `address` at this time (`CLOCK_MONOTONIC`, nanoseconds).
    pub fn range_at(&self, address: u64, time: u64) -> Option<&Range> {
        let holds = |range: &&Range| range.start <= address && address < range.end;
        let then = |range: &&Range| holds(range) && range.since <= time;
        let remembered = self.remembered.iter();
        remembered
            .clone()
            .rev()
            .find(then)
            .or_else(|| remembered.clone().find(holds))
    }

    /// What `address` belonged to at this time (`CLOCK_MONOTONIC`, nanoseconds). To be asked while
    /// the process lives: then its module's debug file is still in reach.
    pub fn locate(&self, address: u64, time: u64) -> Location {
        let Some(range) = self.range_at(address, time) else {
            return Location::Unknown;
        };
        let module = &self.all[range.module];
        module.find_debug_file();
        let offset = address - range.start + range.file_offset;
        Location::Module(range.module, module.virtual_address(offset, address))
    }

    /// The module with this index.
    pub fn get(&self, index: usize) -> &Module {
        &self.all[index]
    }

    /// All modules.
    pub fn into_modules(self) -> Vec<Module> {
        self.all
    }

    /// All modules.
    pub fn all(&self) -> &[Module] {
        &self.all
    }

    fn module_of(&mut self, map: &MemoryMap, passed: bool) -> usize {
        let path = name_of(&map.pathname);
        let key = (map.dev.0, map.dev.1, map.inode, path.clone());
        if let Some(&index) = self.by_file.get(&key) {
            return index;
        }
        let module = Module::open(self.pid, map, path, passed);
        if let Some((_, symbols)) = self
            .unstripped
            .as_ref()
            .filter(|(path, _)| *path == module.path)
        {
            module.debug.get_or_init(|| File::open(symbols).ok());
        }
        self.all.push(module);
        self.by_file.insert(key, self.all.len() - 1);
        self.all.len() - 1
    }

    /// The module of a file that has just been mapped.
    fn module_of_event(&mut self, event: &Mapped) -> usize {
        // The process may have another root than we, and then another path for the same file.
        let same = self
            .by_file
            .iter()
            .find(|(key, _)| (key.0, key.1) == event.device && key.2 == event.inode);
        if let Some((_, &index)) = same {
            return index;
        }
        let map = MemoryMap {
            address: (event.start, event.end),
            perms: MMPermissions::EXECUTE,
            offset: event.file_offset,
            dev: event.device,
            inode: event.inode,
            pathname: MMapPath::Path(PathBuf::from(&event.path)),
            extension: procfs::process::MMapExtension::default(),
        };
        self.module_of(&map, true)
    }
}
