//! How stacks were walked, and how well that went.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// How stacks are walked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unwind {
    /// By unwind tables; by frame pointers where there are none.
    #[default]
    Auto,
    /// By frame pointers only.
    FramePointers,
    /// By unwind tables only.
    Tables,
}

impl Unwind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::FramePointers, Self::Tables];

    /// The name as an option's value and in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::FramePointers => "fp",
            Self::Tables => "tables",
        }
    }
}

/// How many stacks were walked to their end. Counted in what was taken: blocks, pages or ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwinding {
    /// How.
    pub mode: Unwind,
    /// Everything taken, `lost` included.
    pub walked: u64,
    /// Of that, with a stack that reaches the outermost function.
    pub complete: u64,
    /// Of `walked`, with a stack that was in part walked by frame pointers, for want of a table.
    pub approximate: u64,
    /// Of `walked`, with a stack whose outer frames are missing, by reason.
    pub cut: BTreeMap<Cow<'static, str>, u64>,
    /// Of `walked`, with a stack that did not arrive (see the losses).
    pub lost: u64,
    /// Rows of unwind tables that were in use at the end, 8 bytes each.
    pub table_rows: u64,
}
