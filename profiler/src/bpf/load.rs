//! Loads the eBPF object that `build/main.rs` compiled.

use std::sync::Arc;

use aya::maps::{Array, HashMap, Map, MapData, ProgramArray, RingBuf};
use aya::programs::{Program, ProgramError, ProgramFd};
use aya::{Btf, Ebpf, EbpfLoader};
use thiserror::Error;
use unfreed_common::alloc::VACANT_PLACES;
use unfreed_common::config::{Control, Ended};
use unfreed_common::sample::Sampling;
use unfreed_common::stack::{OVERFLOW_STACK, StackTotals};
use unfreed_common::unwind::walker;

use super::barrier::Barrier;
use super::multi::Multi;
use super::object::{Memory, object};
use super::pausable::{Link, Place, TrapCounts};
use super::tables::Tables;
use crate::profile::Unwind;

/// The loaded programs and their maps. Dropping it detaches everything.
pub struct Bpf {
    pub(super) ebpf: Ebpf,
    pub(super) control: Array<MapData, Control>,
    pub(super) ended: Array<MapData, Ended>,
    pub(super) new_stacks: Option<RingBuf<MapData>>,
    pub(super) moves: Option<RingBuf<MapData>>,
    pub(super) tables: Option<Tables>,
    /// Not every block is recorded.
    pub(super) sampled: bool,
    /// How uprobes are attached when they are to go at once; `None`: by perf events.
    pub(super) multi: Option<Multi>,
    pub(super) traps: Arc<TrapCounts>,
    pub(super) pausable: Vec<Place>,
    /// Probes that stay.
    pub(super) kept: Vec<Link>,
    pub(super) paused: bool,
    pub(super) barrier: Barrier,
    /// Kept: the kernel empties an array of programs that nobody holds.
    walkers: Vec<Map>,
}

/// Programs that walk stacks and belong together: an array takes one type of program only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walkers {
    array: &'static str,
    by_tables: &'static str,
    by_frame_pointers: &'static str,
    keep: &'static str,
}

impl Walkers {
    /// Of allocator functions' probes.
    pub const HEAP: Self = Self {
        array: "WALKERS",
        by_tables: "heap_walk_tables",
        by_frame_pointers: "heap_walk_frame_pointers",
        keep: "heap_keep_stack",
    };

    /// Of the page fault tracepoints.
    pub const FAULTS: Self = Self {
        array: "FAULT_WALKERS",
        by_tables: "fault_walk_tables",
        by_frame_pointers: "fault_walk_frame_pointers",
        keep: "fault_keep_stack",
    };

    /// Of perf's event of page faults.
    pub const PERF: Self = Self {
        array: "PERF_WALKERS",
        by_tables: "perf_walk_tables",
        by_frame_pointers: "perf_walk_frame_pointers",
        keep: "perf_keep_stack",
    };
}

/// How large the maps may grow, in entries.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Live blocks (`--max-live`).
    pub live: u32,
    /// Pages that were touched (`--max-pages`).
    pub touches: u32,
    /// Threads at a time.
    pub threads: u32,
    /// Threads whose state is found at once: at most [`NEAR_THREADS`](unfreed_common::thread::NEAR_THREADS).
    pub near_threads: u32,
    /// Rows of unwind tables.
    pub rows: u32,
    /// Bytes of the ring of new stacks: a power of two, and whole pages.
    pub new_stacks: u32,
    /// Whether not every block is to be recorded.
    pub sampled: bool,
    /// Whether the recording may have gaps.
    pub bounded: bool,
    /// Whether probes are to go at once, see [`Bpf::links_go_at_once`].
    pub at_once: bool,
    /// When the first two take their memory.
    pub memory: Memory,
}

impl Sizes {
    /// For programs that are loaded and not used.
    pub fn small(memory: Memory) -> Self {
        Self {
            live: 16,
            touches: 16,
            threads: 16,
            near_threads: 1,
            rows: 1024,
            new_stacks: 1 << 16,
            sampled: false,
            bounded: false,
            at_once: false,
            memory,
        }
    }

    /// How many entries of the map of live blocks may be vacant, so that they take neither much memory nor the place of
    /// a block.
    pub const fn vacant(live: u32) -> u32 {
        const MOST: u32 = 1 << VACANT_PLACES;
        match live / 64 {
            0 => 1,
            vacant if vacant > MOST => MOST,
            vacant => vacant,
        }
    }
}

/// Why the programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The verifier refused a program. Which lines it stopped at is in `log`.
    #[error(
        "this kernel's verifier refused the eBPF program {program} ({reason}), so nothing is \
         recorded; that is a defect of unfreed on this kernel: please report it with what \
         `unfreed check` prints"
    )]
    Refused {
        /// Its name.
        program: String,
        /// The verifier's last word.
        reason: String,
        /// All that it said.
        log: String,
    },
    /// The program could not be loaded for another reason: no privilege, no memory.
    #[error("the kernel did not load the eBPF program {program}: {source:#}")]
    Program {
        /// Its name.
        program: String,
        /// What aya says.
        source: Box<ProgramError>,
    },
    /// The maps could not be made.
    #[error(
        "the kernel did not make the eBPF maps: {0:#}; if it is short of memory, record with a \
         smaller --max-live; before Linux 5.11 maps also count as locked memory (`ulimit -l`)"
    )]
    Object(#[from] Box<aya::EbpfError>),
    /// A map is not what it should be.
    #[error("an eBPF map is not usable: {0}")]
    Map(#[from] aya::maps::MapError),
    /// The memory of a map cannot be had.
    #[error("the memory of an eBPF map cannot be mapped: {0}")]
    Mapping(std::io::Error),
    /// The map that is waited with cannot be made.
    #[error(
        "the kernel did not make the eBPF map of maps by which the end of a recording waits for programs: {0}; \
         before Linux 5.11 maps count as locked memory (`ulimit -l`)"
    )]
    Barrier(std::io::Error),
    /// The object lacks a program or map: it is not the one of this version.
    #[error("the eBPF object has no `{0}`")]
    Missing(String),
}

impl Bpf {
    /// Loads the object and creates its maps. Programs are loaded when they are first attached.
    pub fn load(sizes: Sizes) -> Result<Self, LoadError> {
        let object = object(sizes.memory)?;
        let mut loader = EbpfLoader::new();
        if !sizes.sampled {
            loader.map_max_entries("SAMPLERS", 1);
        }
        let vacant = Sizes::vacant(sizes.live);
        let mut ebpf = loader
            .override_global("SAMPLED", &u32::from(sizes.sampled), true)
            .override_global("BOUNDED", &u32::from(sizes.bounded), true)
            .map_max_entries("LIVE", sizes.live.saturating_add(vacant))
            .map_max_entries("VACANT", vacant)
            .map_max_entries("TOUCHES", sizes.touches)
            .map_max_entries("THREADS", sizes.threads)
            .map_max_entries("NEAR", sizes.near_threads)
            .map_max_entries("ROWS", sizes.rows)
            .map_max_entries("NEW_STACKS", sizes.new_stacks)
            .load(&object)
            .map_err(Box::new)?;
        let multi = sizes.at_once.then(|| Multi::of(&object, &ebpf));
        let multi = multi.transpose()?;
        let control = Array::try_from(take(&mut ebpf, "CONTROL")?)?;
        let ended = Array::try_from(take(&mut ebpf, "ENDED")?)?;
        let new_stacks = RingBuf::try_from(take(&mut ebpf, "NEW_STACKS")?)?;
        let moves = RingBuf::try_from(take(&mut ebpf, "MOVES")?)?;
        let tables = Tables::of(&mut ebpf, sizes.rows)?;
        let traps = Arc::new(TrapCounts::of(&mut ebpf)?);
        let mut bpf = Self {
            ebpf,
            control,
            ended,
            new_stacks: Some(new_stacks),
            moves: Some(moves),
            tables: Some(tables),
            sampled: sizes.sampled,
            multi,
            traps,
            pausable: Vec::new(),
            kept: Vec::new(),
            paused: false,
            barrier: Barrier::new().map_err(LoadError::Barrier)?,
            walkers: Vec::new(),
        };
        bpf.insert_overflow_stack()?;
        Ok(bpf)
    }

    /// Has these programs walk stacks, in this way. Before anything that needs them is attached.
    pub fn set_walk(&mut self, walkers: Walkers, unwind: Unwind) -> Result<(), LoadError> {
        let walk = match unwind {
            Unwind::Auto | Unwind::Tables => walkers.by_tables,
            Unwind::FramePointers => walkers.by_frame_pointers,
        };
        let mut array = take(&mut self.ebpf, walkers.array)?;
        for (index, program) in [(walker::WALK, walk), (walker::KEEP, walkers.keep)] {
            if let Some(multi) = &mut self.multi {
                multi.set(&array, index, program)?;
            } else {
                let program = self.loaded(program)?;
                ProgramArray::try_from(&mut array)?.set(index, &program, 0)?;
            }
        }
        self.walkers.push(array);
        Ok(())
    }

    /// Which blocks are recorded, with [`Sizes::sampled`]. Before the recording begins.
    pub fn set_sampling(&mut self, sampling: &Sampling) -> Result<(), LoadError> {
        let map = self
            .ebpf
            .map_mut("SAMPLING")
            .ok_or_else(|| LoadError::Missing("SAMPLING".into()))?;
        let mut array: Array<_, Sampling> = Array::try_from(map)?;
        Ok(array.set(0, sampling, 0)?)
    }

    /// Loads every program, attached or not: whether the kernel's verifier takes them.
    pub fn load_all(&mut self) -> Result<(), LoadError> {
        let names: Vec<String> = self.ebpf.programs().map(|(name, _)| name.into()).collect();
        names
            .iter()
            .try_for_each(|name| self.loaded(name).map(drop))
    }

    /// A descriptor of the program `name`, which is loaded unless it is.
    fn loaded(&mut self, name: &str) -> Result<ProgramFd, LoadError> {
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or_else(|| LoadError::Missing(name.to_owned()))?;
        if program.fd().is_err() {
            let loaded = match program {
                Program::UProbe(program) => program.load(),
                Program::TracePoint(program) => program.load(),
                // The programs that they go on in are of the same type, which includes the tracepoint.
                Program::BtfTracePoint(program) => Btf::from_sys_fs()
                    .map_err(ProgramError::from)
                    .and_then(|types| program.load(tracepoint(name), &types)),
                Program::PerfEvent(program) => program.load(),
                _ => return Err(LoadError::Missing(name.to_owned())),
            };
            loaded.map_err(|source| refused(name, source))?;
        }
        let fd = program.fd().map_err(|source| refused(name, source))?;
        fd.try_clone().map_err(LoadError::Mapping)
    }

    /// The program `name`, loaded.
    pub(super) fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P, LoadError>
    where
        &'a mut P: TryFrom<&'a mut Program>,
    {
        self.loaded(name)?;
        self.ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| LoadError::Missing(name.to_owned()))
    }

    /// Blocks whose stack finds no room are counted there, so it must exist.
    fn insert_overflow_stack(&mut self) -> Result<(), LoadError> {
        let map = self
            .ebpf
            .map_mut("STACKS")
            .ok_or_else(|| LoadError::Missing("STACKS".into()))?;
        let mut stacks: HashMap<_, u64, StackTotals> = HashMap::try_from(map)?;
        let totals = StackTotals {
            sent: 1,
            ..StackTotals::default()
        };
        Ok(stacks.insert(OVERFLOW_STACK, totals, 0)?)
    }
}

pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, LoadError> {
    ebpf.take_map(name)
        .ok_or_else(|| LoadError::Missing(name.to_owned()))
}

/// The tracepoint that a program of page faults is for.
fn tracepoint(program: &str) -> &str {
    match program {
        "page_fault_kernel" => program,
        _ => "page_fault_user",
    }
}

fn refused(program: &str, source: ProgramError) -> LoadError {
    let program = program.to_owned();
    match source {
        ProgramError::LoadError {
            verifier_log,
            io_error,
        } if io_error.raw_os_error() != Some(libc::EPERM) => {
            let log = verifier_log.to_string();
            let reason = last_word(&log).map_or_else(|| io_error.to_string(), str::to_owned);
            LoadError::Refused {
                program,
                reason,
                log,
            }
        }
        source => LoadError::Program {
            program,
            source: Box::new(source),
        },
    }
}

/// What the verifier says is wrong: its last line but for those about the cost of verification.
fn last_word(log: &str) -> Option<&str> {
    const ABOUT_COST: [&str; 3] = ["processed ", "verification time", "stack depth"];
    log.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !ABOUT_COST.iter().any(|cost| line.starts_with(cost)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_vacant_entries() {
        let vacant = [1, 64, 6400, 1_000_000, u32::MAX].map(Sizes::vacant);
        assert_eq!(vacant, [1, 1, 100, 15_625, 16_384]);
    }

    #[test]
    fn the_verifiers_last_word_is_the_error() {
        let log = "0: (bf) r6 = r1\n12: (db) r1 = atomic64_fetch_add((u64 *)(r0 +0), r1)\n\
                   BPF_STX uses reserved fields\nverification time 40 usec\nstack depth 0\n\
                   processed 12 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(last_word(log), Some("BPF_STX uses reserved fields"));
        assert_eq!(last_word("\n"), None);
    }
}
