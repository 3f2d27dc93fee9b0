//! After a recording the target's code is what its files say again, byte by byte, and no eBPF object
//! of unfreed's is left in the kernel; after unfreed was killed, too.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::objects::{self, Object};

use crate::recorded::Recorded;

/// What a killed process held is freed after some grace periods.
const FREEING: Duration = Duration::from_secs(20);

/// These are probed in every C library.
const FUNCTIONS: [&str; 4] = ["malloc", "calloc", "realloc", "free"];

/// The code of one file in a process.
struct Code {
    pid: u32,
    path: PathBuf,
    file: Vec<u8>,
}

/// Bytes of a function within which its entry is probed.
const BEGINNING: u64 = 16;

impl Code {
    fn of(pid: u32, path: &Path) -> Result<Self> {
        let path = path.canonicalize()?;
        let file = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { pid, path, file })
    }

    fn mappings(&self) -> Result<Vec<MemoryMap>> {
        let is_code = |mapping: &MemoryMap| {
            matches!(&mapping.pathname, MMapPath::Path(path) if *path == self.path)
                && mapping.perms.contains(MMPermissions::EXECUTE)
        };
        let maps = Process::new(self.pid.cast_signed())?.maps()?;
        let code: Vec<MemoryMap> = maps.into_iter().filter(is_code).collect();
        ensure!(!code.is_empty(), "{} is not mapped", self.path.display());
        Ok(code)
    }

    /// Where in the file the bytes are that the process has others for.
    fn changed(&self) -> Result<BTreeSet<u64>> {
        let memory = File::open(format!("/proc/{}/mem", self.pid))?;
        let mut changed = BTreeSet::new();
        for mapping in self.mappings()? {
            let (start, end) = mapping.address;
            let mut there = vec![0; (end - start) as usize];
            memory.read_exact_at(&mut there, start)?;
            // Behind the file's end the last page is zero.
            let file = self.file[mapping.offset as usize..].iter().copied();
            let file = file.chain(std::iter::repeat(0));
            let pairs = (mapping.offset..).zip(there.into_iter().zip(file));
            changed.extend(pairs.filter_map(|(at, (ours, theirs))| (ours != theirs).then_some(at)));
        }
        Ok(changed)
    }

    /// Where in the file a function begins.
    fn function(&self, name: &str) -> Result<u64> {
        let elf = object::File::parse(&*self.file)?;
        let address = elf
            .symbols()
            .chain(elf.dynamic_symbols())
            .find(|symbol| symbol.is_definition() && symbol.name() == Ok(name))
            .with_context(|| format!("no {name} in {}", self.path.display()))?
            .address();
        elf.segments()
            .find_map(|segment| {
                let (offset, size) = segment.file_range();
                let inside = address.checked_sub(segment.address())?;
                (inside < size).then_some(offset + inside)
            })
            .with_context(|| format!("{name} is in no segment"))
    }

    fn check_probed(&self) -> Result<()> {
        let changed = self.changed()?;
        for name in FUNCTIONS {
            let function = self.function(name)?;
            // Not always on its first instruction.
            let probes = changed.range(function..function + BEGINNING).count();
            ensure!(
                probes == 1,
                "{probes} probes at {name}'s beginning, {function:#x}, where one was expected; there are \
                 {changed:x?}"
            );
        }
        Ok(())
    }
}

/// Waits until none is left; what is.
fn left<T>(mut look: impl FnMut() -> Result<BTreeSet<T>>) -> Result<BTreeSet<T>> {
    let start = Instant::now();
    loop {
        let left = look()?;
        if left.is_empty() || start.elapsed() > FREEING {
            return Ok(left);
        }
        // The interval of a poll that has a limit.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The C library that a process uses.
fn c_library(pid: u32) -> Result<PathBuf> {
    let maps = Process::new(pid.cast_signed())?.maps()?;
    let mut paths = maps
        .into_iter()
        .filter_map(|mapping| match mapping.pathname {
            MMapPath::Path(path) => Some(path),
            _ => None,
        });
    paths
        .find(|path| path.ends_with("libc.so.6"))
        .context("no C library is mapped")
}

/// Records a program, ends unfreed by this signal, and looks for what is left.
fn check(linkage: Linkage, end: Signal) -> Result<()> {
    let program = build::program("endings", linkage)?;
    let mut case = Recorded::start(Command::new(&program).arg("exit"), &[])?;
    let pid = case.target.pid();
    let mut codes = vec![Code::of(pid, &program)?];
    if linkage == Linkage::Dynamic {
        codes.push(Code::of(pid, &c_library(pid)?)?);
    }
    case.work()?;

    let probed = codes.last().context("no code")?;
    probed.check_probed()?;
    let held = objects::held_by(case.unfreed.pid())?;
    let has = |kind: fn(&Object) -> bool| held.iter().any(kind);
    ensure!(
        has(|object| matches!(object, Object::Program(_)))
            && has(|object| matches!(object, Object::Map(_)))
            && held.is_subset(&objects::loaded()?),
        "unfreed holds only {held:?}"
    );

    case.unfreed.signal(end)?;
    let status = case.unfreed.end()?.status;
    ensure!(
        status.success() == (end == Signal::SIGINT),
        "unfreed ended with {status}"
    );
    for code in &codes {
        let changed = left(|| code.changed())?;
        let path = code.path.display();
        ensure!(changed.is_empty(), "{path} is changed at {changed:x?}");
    }
    let objects = left(|| Ok(&objects::loaded()? & &held))?;
    ensure!(objects.is_empty(), "left in the kernel: {objects:?}");

    case.target.tell("end")?;
    let status = case.target.end()?.status;
    ensure!(status.success(), "the target ended with {status}");
    Ok(())
}

#[test]
fn a_recording_leaves_nothing_behind() -> Result<()> {
    check(Linkage::Dynamic, Signal::SIGINT)
}

#[test]
fn a_recording_of_a_static_program_leaves_nothing_behind() -> Result<()> {
    check(Linkage::Static, Signal::SIGINT)
}

#[test]
fn killing_unfreed_leaves_nothing_behind() -> Result<()> {
    check(Linkage::Dynamic, Signal::SIGKILL)
}

#[test]
fn killing_unfreed_leaves_nothing_behind_in_a_static_program() -> Result<()> {
    check(Linkage::Static, Signal::SIGKILL)
}
