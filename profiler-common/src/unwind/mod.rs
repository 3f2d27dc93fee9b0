//! Unwind tables as the eBPF side walks them: which rows belong to which mapping of a process, and
//! what a row says.
//!
//! A table is sorted by address. A [`Row`] holds from its address up to the next row's; where no
//! unwind information exists, a row with [`Rule::NONE`] says so. All tables share one array of rows.

pub mod aarch64;
mod rule;
pub mod x86_64;

pub use rule::{Kind, Row, Rule};

/// Most executable mappings of one process that are known to the walk: a search of
/// [`MAPPING_STEPS`] steps.
pub const MAX_MAPPINGS: u32 = 1 << MAPPING_STEPS;

/// Most processes that can have tables at a time.
pub const MAX_PROCESSES: u32 = 64;

/// How many lists of a process's mappings stay as they are after they were replaced: a walk that began
/// before may still be at work in one, for as long as its thread waits for a processor.
pub const KEPT_LISTS: u64 = 4;

/// Mappings of all processes together: the lists of the largest process, the kept ones too, and room for
/// others.
pub const MAPPINGS: u32 = (KEPT_LISTS as u32 + 4) * MAX_MAPPINGS;

/// Steps of the binary search among a process's mappings.
pub const MAPPING_STEPS: u32 = 13;

/// Most rows of one table: a search of [`ROW_STEPS`] steps.
pub const MAX_ROWS: u32 = 1 << ROW_STEPS;

/// Steps of the binary search among a table's rows.
pub const ROW_STEPS: u32 = 22;

/// Entries of the cache of rules: 16 bits of an address choose one.
pub const CACHE_ENTRIES: u32 = 1 << 16;

/// Generations (see [`ProcessTable`]) that an entry of the cache can tell apart. The user side clears
/// the cache before an entry can be as old as that.
pub const CACHE_VERSIONS: u64 = 1 << 13;

/// What must be known of the function that is being executed, or that will be returned to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Instruction pointer: a return address, except for the innermost frame and for what a signal
    /// interrupted.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer register (rbp, x29): whatever the function uses it for.
    pub fp: u64,
    /// 1: `pc` is where the function was interrupted, not a return address.
    pub interrupted: u64,
}

/// The stack that is walked. A trait and no closure: its method must be inlined into eBPF programs.
pub trait Stack {
    /// The word at this address; `None` where nothing can be read.
    fn word(&mut self, address: u64) -> Option<u64>;

    /// The same, of a word that is the caller's frame pointer, whatever the caller uses it for.
    #[inline(always)]
    fn saved_frame_pointer(&mut self, address: u64) -> Option<u64> {
        self.word(address)
    }
}

/// Why a walk ended.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The outermost function, as its table says.
    End = 1,
    /// The outermost function, as a frame pointer or a return address of 0 says (System V ABI, "process
    /// initialization").
    FramePointerEnd = 2,
    /// More frames than are kept.
    Depth = 3,
    /// A word of the stack could not be read: not mapped, or not in memory.
    Unreadable = 4,
    /// Neither a table nor a plausible frame pointer.
    NoTable = 5,
    /// The table has a rule that cannot be followed here.
    Unsupported = 6,
    /// The return address was replaced by a return probe that is not ours.
    ReturnProbe = 7,
    /// The tables of what was mapped before were used.
    MappingsChanged = 8,
}

impl Stop {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::End,
        Self::FramePointerEnd,
        Self::Depth,
        Self::Unreadable,
        Self::NoTable,
        Self::Unsupported,
        Self::ReturnProbe,
        Self::MappingsChanged,
    ];

    /// Whether the walk reached the outermost frame.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End | Self::FramePointerEnd)
    }

    /// Its name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::End | Self::FramePointerEnd => "complete",
            Self::Depth => "depth",
            Self::Unreadable => "unreadable",
            Self::NoTable => "no_table",
            Self::Unsupported => "unsupported",
            Self::ReturnProbe => "return_probe",
            Self::MappingsChanged => "mappings_changed",
        }
    }
}

/// Bits of `StackRecord::flags`.
pub mod flag {
    /// At least one frame was passed by its frame pointer for want of a table.
    pub const APPROXIMATE: u32 = 1;
    /// Mappings had changed since the tables were last brought up to date.
    pub const UNSETTLED: u32 = 2;
}

/// How stacks are walked: `Control::unwind`.
pub mod mode {
    /// By tables, and by frame pointers where there is none.
    pub const AUTO: u32 = 0;
    /// By frame pointers only.
    pub const FRAME_POINTERS: u32 = 1;
    /// By tables only: a walk ends where there is none.
    pub const TABLES: u32 = 2;
}

/// Indices of the programs that an entry goes on in.
pub mod walker {
    /// Walks the stack, or some frames of it.
    pub const WALK: u32 = 0;
    /// Keeps the stack and ends the entry.
    pub const KEEP: u32 = 1;
    /// How many.
    pub const COUNT: u32 = 2;
}

/// A frame larger than this is taken for a register that is not a frame pointer.
const MAX_FRAME_BYTES: u64 = 16 << 20;

/// Whether the frame pointer may be used for a frame that has no rule. Not required: that saved
/// frame pointers grow outwards, since callers may use the register for data.
///
/// # Errors
/// [`Stop::FramePointerEnd`] for the outermost frame, [`Stop::NoTable`] for what is no frame pointer.
#[inline(always)]
pub fn check_frame_pointer(frame: &Frame) -> Result<(), Stop> {
    if frame.fp == 0 {
        return Err(Stop::FramePointerEnd);
    }
    if frame.fp < frame.sp || frame.fp & 7 != 0 || frame.fp - frame.sp > MAX_FRAME_BYTES {
        return Err(Stop::NoTable);
    }
    Ok(())
}

/// An executable mapping with a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Behind its last address.
    pub end: u64,
    /// To be subtracted (wrapping) from an address of it to get what the rows count by.
    pub bias: u64,
    /// Index of the table's first row in the array of rows.
    pub first_row: u32,
    /// How many rows; none: the mapping is known, and has no table.
    pub row_count: u32,
}

/// Where a process's mappings are in the array of mappings, sorted by address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessTable {
    /// Index of the first.
    pub first: u32,
    /// How many, at most [`MAX_MAPPINGS`].
    pub count: u32,
    /// Index of the counter of its mappings' changes.
    pub changes_index: u32,
    /// Differs whenever an address may mean another file than before: part of each stack's hash.
    pub layout: u32,
    /// Differs for every process and every list of its mappings.
    pub generation: u64,
    /// How many lists were published of this process.
    pub sequence: u64,
    /// What the counter of changes said when the mappings were read.
    pub settled_at: u64,
}
