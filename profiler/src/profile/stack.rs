//! Stacks and what they weigh.

use std::borrow::Cow;
use std::sync::Arc;

use super::Kind;

/// Bytes and the number of blocks (or pages, or ranges) they come in. Exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight {
    /// Bytes, as the caller requested them.
    pub bytes: u64,
    /// Blocks.
    pub count: u64,
}

impl Weight {
    /// What is left of it; nothing when `other` is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            count: self.count.saturating_sub(other.count),
        }
    }
}

impl Weight {
    /// All of which this is a share.
    #[must_use]
    pub fn of_share(self, share: f64) -> Self {
        if share >= 1.0 {
            return self;
        }
        let all = |number: u64| (number as f64 / share).round() as u64;
        Self {
            bytes: all(self.bytes),
            count: all(self.count),
        }
    }
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.count += other.count;
    }
}

/// One function on a call stack. Fields that are not known are absent, never invented.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Demangled name.
    pub function: Option<String>,
    /// Path of the module as the process sees it; a name in brackets for what is not a file.
    pub module: Option<String>,
    /// Address in the module as its ELF headers count it (what addr2line takes); the plain address
    /// where the module is not a file.
    pub offset: Option<u64>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// Whether the compiler put this function into its caller, the next frame.
    pub inlined: bool,
}

impl Frame {
    /// What to call the frame: the function, or `[module]+0xOFFSET` where it is not known.
    pub fn label(&self) -> String {
        if let Some(function) = &self.function {
            return function.clone();
        }
        let module = self.module.as_deref().unwrap_or("unknown");
        let base = module.rsplit('/').next().unwrap_or(module);
        let base = base.trim_start_matches('[').trim_end_matches(']');
        match self.offset {
            Some(offset) => format!("[{base}]+{offset:#x}"),
            None => format!("[{base}]"),
        }
    }
}

/// How far a stack could be walked, and how surely.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Walk {
    /// Why its outer frames are missing; `None`: it reaches the outermost function.
    pub cut: Option<Cow<'static, str>>,
    /// Where there was no unwind table, frame pointers were followed: callers can be missing.
    pub approximate: bool,
}

/// A call stack and what it weighs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// What hangs on it, by the recording's mode.
    pub weight: Weight,
    /// Everything that was taken here during the recording, given back or not. `None`: not known, or the
    /// weight itself is that.
    pub taken: Option<Weight>,
    /// What of it is unfreed at the end. `None`: not known, or the weight itself is that.
    pub unfreed: Option<Weight>,
    /// From the innermost (the allocator's own function) outwards. Frames are shared between stacks.
    pub frames: Vec<Arc<Frame>>,
    /// How it was walked.
    pub walk: Walk,
    /// Of which kind the memory is, where the view tells kinds apart.
    pub kind: Option<Kind>,
}
