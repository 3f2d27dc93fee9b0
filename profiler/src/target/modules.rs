//! The files a process executes, kept open so that they can be probed and symbolized whatever
//! namespace they are in, after they were deleted or replaced, and after the process is gone.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use memmap2::Mmap;
use object::read::elf::{FileHeader, ProgramHeader};
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process as ProcFs};

use super::{debug_file, without_deleted};

/// An executable file (or a part of memory that is none) that the process has mapped.
pub struct Module {
    /// As the process sees it; a name in brackets for what is not a file.
    pub path: String,
    /// Open file; `None` for what is not a file or cannot be opened.
    file: Option<File>,
    /// Why `file` is missing, for files.
    pub unreadable: Option<String>,
    /// (file offset, virtual address, size) of its loadable segments.
    segments: Vec<(u64, u64, u64)>,
    /// The process's root directory, as long as it lives.
    root: PathBuf,
    /// File with its symbols and debug information, if these are not in its own.
    debug: OnceCell<Option<File>>,
}

/// How many mappings that are gone are remembered: a compiler at run time can make any number.
const MAX_RETIRED: usize = 4096;

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
struct Range {
    start: u64,
    end: u64,
    file_offset: u64,
    module: usize,
}

/// All modules a process has, or had since it is watched.
pub struct Modules {
    pid: u32,
    unstripped: Option<(String, PathBuf)>,
    all: Vec<Module>,
    by_file: HashMap<(i32, i32, u64, String), usize>,
    current: Vec<Range>,
    /// Mappings that are gone: stacks taken while they existed may still arrive.
    retired: Vec<Range>,
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
            retired: Vec::new(),
        }
    }

    /// Reads the process's mappings again. Returns the modules that are new, by index. Fails when
    /// the process has ended; what was known stays known.
    pub fn refresh(&mut self) -> anyhow::Result<Vec<usize>> {
        let process = ProcFs::new(self.pid.cast_signed())?;
        let maps = process
            .maps()
            .with_context(|| format!("reading the mappings of process {}", self.pid))?;
        let known = self.all.len();
        let mut ranges = Vec::new();
        for map in maps {
            if map.perms.contains(MMPermissions::EXECUTE) {
                let module = self.module_of(&map);
                let (start, end) = map.address;
                ranges.push(Range {
                    start,
                    end,
                    file_offset: map.offset,
                    module,
                });
            }
        }
        let gone = self
            .current
            .iter()
            .filter(|range| !ranges.contains(range) && !self.retired.contains(range))
            .copied()
            .collect::<Vec<_>>();
        self.retired.extend(gone);
        let surplus = self.retired.len().saturating_sub(MAX_RETIRED);
        self.retired.drain(..surplus);
        self.current = ranges;
        Ok((known..self.all.len()).collect())
    }

    /// What `address` belongs to, now or before. To be asked while the process lives: then its
    /// module's debug file is still in reach.
    pub fn locate(&self, address: u64) -> Location {
        let holds = |range: &&Range| range.start <= address && address < range.end;
        let range = self.current.iter().find(holds);
        let Some(range) = range.or_else(|| self.retired.iter().rev().find(holds)) else {
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

    fn module_of(&mut self, map: &MemoryMap) -> usize {
        let path = name_of(&map.pathname);
        let key = (map.dev.0, map.dev.1, map.inode, path.clone());
        if let Some(&index) = self.by_file.get(&key) {
            return index;
        }
        let module = Module::open(self.pid, map, path);
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
}

impl Module {
    fn open(pid: u32, map: &MemoryMap, path: String) -> Self {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let mut module = Self {
            path,
            file: None,
            unreadable: None,
            segments: Vec::new(),
            root,
            debug: OnceCell::new(),
        };
        let MMapPath::Path(seen) = &map.pathname else {
            return module;
        };
        // map_files names the mapped file itself, wherever it is and whatever has happened to its
        // name; it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. Else by name.
        let (start, end) = map.address;
        let mapped = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
        let named = module
            .root
            .join(seen.strip_prefix("/").unwrap_or(seen.as_path()));
        match File::open(mapped).or_else(|_| File::open(named)) {
            Ok(file) => {
                module.segments = read_segments(&file).unwrap_or_default();
                module.file = Some(file);
            }
            Err(error) => module.unreadable = Some(error.to_string()),
        }
        module
    }

    /// A path by which this very file can be opened as long as this value lives.
    pub fn open_path(&self) -> Option<PathBuf> {
        self.file.as_ref().map(path_of)
    }

    /// A path by which the file with its symbols and debug information can be opened.
    pub fn debug_path(&self) -> Option<PathBuf> {
        match self.debug.get() {
            Some(Some(debug)) => Some(path_of(debug)),
            _ => self.open_path(),
        }
    }

    /// Opens the file with its debug information, which may be out of reach when the process is gone.
    fn find_debug_file(&self) {
        self.debug.get_or_init(|| {
            let bytes = self.bytes().ok()??;
            debug_file::find(&bytes, Path::new(&self.path), &self.root)
        });
    }

    /// The file's content.
    pub fn bytes(&self) -> anyhow::Result<Option<Mmap>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        // SAFETY: the file is a program that is being executed; it is not changed in place, as that
        // would break the target as well. It is only read, through code that checks every offset.
        let bytes = unsafe { Mmap::map(file) }.with_context(|| format!("reading {}", self.path))?;
        Ok(Some(bytes))
    }

    fn virtual_address(&self, offset: u64, address: u64) -> u64 {
        if self.file.is_none() {
            return address;
        }
        self.segments
            .iter()
            .find(|(start, _, size)| (*start..start + size).contains(&offset))
            .map_or(offset, |(start, virtual_start, _)| {
                offset - start + virtual_start
            })
    }
}

fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn name_of(path: &MMapPath) -> String {
    match path {
        MMapPath::Path(path) => without_deleted(&path.to_string_lossy()),
        MMapPath::Vdso => "[vdso]".into(),
        MMapPath::Vsyscall => "[vsyscall]".into(),
        MMapPath::Heap => "[heap]".into(),
        MMapPath::Stack | MMapPath::TStack(_) => "[stack]".into(),
        MMapPath::Other(name) => format!("[{name}]"),
        _ => "[anon]".into(),
    }
}

fn read_segments(file: &File) -> anyhow::Result<Vec<(u64, u64, u64)>> {
    // Only the headers are wanted, and they are at the start of the file.
    let cache = object::ReadCache::new(file);
    let header = object::elf::FileHeader64::<object::Endianness>::parse(&cache)?;
    let endian = header.endian()?;
    let loads = header
        .program_headers(endian, &cache)?
        .iter()
        .filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD)
        .map(|segment| {
            (
                segment.p_offset(endian),
                segment.p_vaddr(endian),
                segment.p_filesz(endian),
            )
        });
    Ok(loads.collect())
}
