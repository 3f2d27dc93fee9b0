//! One file a process executes, kept open so that it can be probed and symbolized whatever namespace
//! it is in, after it was deleted or replaced, and after the process is gone.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use memmap2::Mmap;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use procfs::process::{MMapPath, MemoryMap};

use super::{Range, debug_file, without_deleted};

/// Bytes of a build id; what is longer is none (linkers write 8 to 20, at most 64).
const LONGEST_BUILD_ID: usize = 64;

/// An executable file (or a part of memory that is none) that the process has mapped.
pub struct Module {
    /// As the process sees it; a name in brackets for what is not a file.
    pub path: String,
    /// Open file; `None` for what is not a file or cannot be opened.
    file: Option<File>,
    /// The content of what is not a file but has an ELF image, the vDSO.
    memory: Option<Vec<u8>>,
    /// Why `file` is missing, for files.
    pub unreadable: Option<String>,
    /// Its loadable segments.
    segments: Vec<Segment>,
    /// The process's root directory, as long as it lives.
    root: PathBuf,
    /// File with its symbols and debug information, if these are not in its own.
    pub(super) debug: OnceCell<Option<File>>,
}

/// A loadable segment: what of the file goes where.
#[derive(Debug, Clone, Copy)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
    executable: bool,
}

impl Segment {
    /// Whether `offset` is from `start` on and before the end.
    fn holds(&self, start: u64, offset: u64) -> bool {
        (start..self.offset.saturating_add(self.size)).contains(&offset)
    }
}

/// The content of a module.
pub enum Image {
    /// A file.
    File(Mmap),
    /// What the kernel has put into the process's memory.
    Memory(Vec<u8>),
}

impl std::ops::Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Module {
    /// `passed`: the mapping may be gone.
    pub(super) fn open(pid: u32, map: &MemoryMap, path: String, passed: bool) -> Self {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let mut module = Self {
            path,
            file: None,
            unreadable: None,
            segments: Vec::new(),
            root,
            debug: OnceCell::new(),
            memory: None,
        };
        if map.pathname == MMapPath::Vdso {
            module.memory = read_memory(pid, map.address).ok();
        }
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
        // Of a mapping that was there a moment ago, neither may still be the same.
        let open = |path: PathBuf| {
            let file = File::open(path)?;
            if passed && file.metadata()?.ino() != map.inode {
                return Err(std::io::Error::other("unloaded and replaced meanwhile"));
            }
            Ok(file)
        };
        match open(mapped.into()).or_else(|_| open(named)) {
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
    pub(super) fn find_debug_file(&self) {
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

    /// File offset of the function `name`, where the module defines it.
    pub fn function_offset(&self, name: &str) -> Option<u64> {
        let bytes = self.bytes().ok()??;
        let file = object::File::parse(&*bytes).ok()?;
        let symbol = file
            .dynamic_symbols()
            .chain(file.symbols())
            .find(|symbol| symbol.is_definition() && symbol.name() == Ok(name))?;
        let section = file.section_by_index(symbol.section_index()?).ok()?;
        let (offset, _) = section.file_range()?;
        Some(symbol.address() - section.address() + offset)
    }

    /// The ELF image that is mapped, where there is one.
    pub fn image(&self) -> Option<Image> {
        match &self.memory {
            Some(memory) => Some(Image::Memory(memory.clone())),
            None => self.bytes().ok()?.map(Image::File),
        }
    }

    /// The build id that its linker left in it, in hexadecimal digits, where there is one.
    pub fn build_id(&self) -> Option<String> {
        let image = self.image()?;
        let file = object::File::parse(&*image).ok()?;
        let id = file.build_id().ok()??;
        (1..=LONGEST_BUILD_ID)
            .contains(&id.len())
            .then(|| debug_file::hex(id))
    }

    /// What the file system knows of the file.
    pub fn metadata(&self) -> Option<std::fs::Metadata> {
        self.file.as_ref()?.metadata().ok()
    }

    /// The content of the file with its debug information, if that is not in its own.
    pub fn debug_bytes(&self) -> Option<Mmap> {
        self.find_debug_file();
        let debug = self.debug.get()?.as_ref()?;
        // SAFETY: as in `bytes`; a debug file that is overwritten in place meanwhile would end
        // unfreed, not the target.
        unsafe { Mmap::map(debug) }.ok()
    }

    /// What the mapping `range` of this module must be moved by (wrapping) to be where the ELF
    /// headers count from; `None` for memory that is no image.
    pub fn load_bias(&self, range: &Range) -> Option<u64> {
        if self.memory.is_some() {
            return Some(range.start);
        }
        load_bias(&self.segments, range)
    }

    pub(super) fn virtual_address(&self, offset: u64, address: u64) -> u64 {
        if self.file.is_none() {
            return address;
        }
        self.segments
            .iter()
            .find(|segment| segment.holds(segment.offset, offset))
            .map_or(offset, |segment| {
                (offset - segment.offset).wrapping_add(segment.address)
            })
    }
}

/// Reads a mapping that is not a file.
fn read_memory(pid: u32, (start, end): (u64, u64)) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; (end - start) as usize];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

pub(super) fn name_of(path: &MMapPath) -> String {
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

fn read_segments(file: &File) -> anyhow::Result<Vec<Segment>> {
    // Only the headers are wanted, and they are at the start of the file.
    let cache = object::ReadCache::new(file);
    let header = object::elf::FileHeader64::<object::Endianness>::parse(&cache)?;
    let endian = header.endian()?;
    let loads = header
        .program_headers(endian, &cache)?
        .iter()
        .filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD)
        .map(|segment| Segment {
            offset: segment.p_offset(endian),
            address: segment.p_vaddr(endian),
            size: segment.p_filesz(endian),
            executable: segment.p_flags(endian) & object::elf::PF_X != 0,
        });
    Ok(loads.collect())
}

fn load_bias(segments: &[Segment], range: &Range) -> Option<u64> {
    let page = procfs::page_size();
    // Mappings begin at a page, segments may begin within one, which then belongs to two.
    let segment = segments.iter().find(|segment| {
        segment.executable && segment.holds(segment.offset & !(page - 1), range.file_offset)
    })?;
    let file_start = range.start.wrapping_sub(range.file_offset);
    let moved = segment.offset.wrapping_sub(segment.address);
    Some(file_start.wrapping_add(moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_id_is_what_readelf_says() {
        let mut modules = super::super::Modules::of(std::process::id(), None);
        modules.refresh(Vec::new).unwrap();
        let all = modules.into_modules();
        let libc = all.iter().find(|it| it.path.contains("/libc.so")).unwrap();
        let notes = std::process::Command::new("readelf")
            .args(["-n", &libc.path])
            .output()
            .expect("readelf (Debian: binutils)");
        let notes = String::from_utf8(notes.stdout).unwrap();
        let (_, id) = notes.split_once("Build ID: ").unwrap();
        let id = id.lines().next().unwrap();
        assert_eq!(libc.build_id().as_deref(), Some(id));
        let nothing = all.iter().find(|it| it.path == "[vsyscall]");
        assert_eq!(nothing.and_then(Module::build_id), None);
    }

    #[test]
    fn code_that_begins_within_the_page_where_data_ends() {
        // As lld lays files out: the page at 0x28000 is the end of one segment and the start of the
        // next, whose addresses are a page further on.
        let segment = |offset, address, size, executable| Segment {
            offset,
            address,
            size,
            executable,
        };
        let segments = [
            segment(0, 0, 0x28db0, false),
            segment(0x28db0, 0x29db0, 0x91af0, true),
        ];
        let range = Range::of(0x5000_0002_9000, 0x5000_000b_c000, 0x28000);
        assert_eq!(load_bias(&segments, &range), Some(0x5000_0000_0000));
        assert_eq!(load_bias(&segments[..1], &range), None);
        let hostile = segment(u64::MAX - 5, 7, u64::MAX, true);
        assert_eq!(load_bias(&[hostile], &range), None);
    }
}
