//! Probes that do nothing, wherever unfreed has its own: what no tracing of the same functions can be cheaper
//! than.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use unfreed::allocator::{self, Hints, Returns};
use unfreed::bpf::Probe;
use unfreed::check;
use unfreed::target::{Module, Modules};
use unfreed_tests::system_call::succeeded;
use unfreed_tests::uprobe;

use crate::assembled::{self, Instruction, R0, exit, set};

/// All functions of a process that unfreed would probe, by the file that they are in.
pub struct Sites {
    files: Vec<File>,
    /// Keeps the files open, whose paths name open files.
    _modules: Modules,
}

/// Those of one file.
struct File {
    /// By which it can be opened.
    path: PathBuf,
    /// Its path in the process.
    name: String,
    /// Whether it has a `malloc`.
    malloc: bool,
    /// Offsets, and whether a probe is on the return of the function there, not on the instruction.
    probes: BTreeSet<(u64, bool)>,
}

/// Empty probes on all entries and returns that unfreed would probe. Dropping it removes them.
pub struct Floor {
    /// Kept open, so that it can be asked how often it has run.
    _program: OwnedFd,
    probes: Vec<OwnedFd>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        // The kernel waits for each of them; together it takes less.
        std::thread::scope(|scope| {
            for probe in self.probes.drain(..) {
                scope.spawn(|| drop(probe));
            }
        });
    }
}

impl Sites {
    /// Where probes go in the process `pid`. `at_entry`: to the functions' first instructions.
    pub fn of(pid: u32, at_entry: bool) -> Result<Self> {
        let hints = Hints {
            at_entry,
            emulation: check::emulation(),
            ..Hints::default()
        };
        let mut modules = Modules::of(pid, None);
        modules.refresh(Vec::new)?;
        let mut files = Vec::new();
        let mut throwing = false;
        for module in modules.all() {
            if let Some((file, throws)) = File::of(module, &hints)? {
                files.push(file);
                throwing |= throws;
            }
        }
        ensure!(!files.is_empty(), "the process has no allocator");
        if throwing {
            files.extend(modules.all().iter().filter_map(File::of_handlers));
        }
        Ok(Self {
            files,
            _modules: modules,
        })
    }

    /// Puts empty probes there.
    pub fn probe(&self, pid: u32) -> Result<Floor> {
        let program = assembled::load(assembled::KPROBE, &NOTHING)
            .context("loading an empty eBPF program")?;
        let probes = self.files.iter().flat_map(|file| {
            let offsets = file.probes.iter();
            offsets.map(|&(offset, returns)| (&file.path, offset, returns))
        });
        let probes = probes.map(|(path, offset, returns)| {
            attach(&program, path, offset, returns, pid)
                .with_context(|| format!("an empty probe at {offset:#x} of {}", path.display()))
        });
        let probes = probes.collect::<Result<_>>()?;
        Ok(Floor {
            _program: program,
            probes,
        })
    }

    /// The path of the file whose `malloc` the process calls: the C library's only if there is no other.
    pub fn allocator(&self) -> Result<&str> {
        let with_malloc = self.files.iter().filter(|file| file.malloc);
        let best = with_malloc.min_by_key(|file| file.name.contains("/libc.so"));
        Ok(&best.context("the process has no malloc")?.name)
    }
}

impl File {
    /// What unfreed would probe in a file, and whether an exception may leave a function of it. As
    /// `unfreed::source` does it.
    fn of(module: &Module, hints: &Hints) -> Result<Option<(Self, bool)>> {
        let (Some(bytes), Some(path)) = (module.bytes()?, module.open_path()) else {
            return Ok(None);
        };
        // As unfreed, without those that are damaged or not for this processor.
        let Ok(plan) = allocator::plan(&bytes, hints) else {
            return Ok(None);
        };
        let mut probes = BTreeSet::new();
        let mut throws = false;
        let usable = |function: &&_| Probe::of(function).is_some();
        for function in plan.functions.iter().filter(usable) {
            probes.insert((function.site.offset, false));
            match &function.returns {
                Returns::Ignored => {}
                Returns::Trampoline => drop(probes.insert((function.site.offset, true))),
                Returns::Instructions(offsets) => {
                    throws = true;
                    probes.extend(offsets.iter().map(|&offset| (offset, false)));
                }
            }
        }
        let file = Self {
            path,
            name: module.path.clone(),
            malloc: plan.functions.iter().any(|it| it.symbol == "malloc"),
            probes,
        };
        Ok((!file.probes.is_empty()).then_some((file, throws)))
    }

    /// The function that says that an exception has reached its handler.
    fn of_handlers(module: &Module) -> Option<Self> {
        Some(Self {
            path: module.open_path()?,
            name: module.path.clone(),
            malloc: false,
            probes: BTreeSet::from([(module.function_offset("__cxa_begin_catch")?, false)]),
        })
    }
}

/// `return 0`
const NOTHING: [Instruction; 2] = [set(R0, 0), exit()];

fn attach(program: &OwnedFd, path: &Path, offset: u64, returns: bool, pid: u32) -> Result<OwnedFd> {
    /// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE`.
    const SET_BPF: libc::Ioctl = 0x4004_2408;
    const ENABLE: libc::Ioctl = 0x2400;
    let probe = uprobe::open(path, offset, returns, pid)?;
    // SAFETY: both take an integer, and the descriptors are open.
    unsafe {
        succeeded(libc::ioctl(probe.as_raw_fd(), SET_BPF, program.as_raw_fd()))?;
        succeeded(libc::ioctl(probe.as_raw_fd(), ENABLE, 0))?;
    }
    Ok(probe)
}
