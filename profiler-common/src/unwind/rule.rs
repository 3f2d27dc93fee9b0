//! How to get from a frame to its caller's, in 32 bits.

/// What the canonical frame address (CFA, the stack pointer before the call) is computed from.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// There is no unwind information here.
    None = 0,
    /// The outermost function: its return address is undefined.
    End = 1,
    /// There is a rule, but none of those below.
    Unsupported = 2,
    /// CFA = sp + 8n
    StackPointer = 3,
    /// CFA = fp + 8n
    FramePointer = 4,
    /// CFA = *(fp - 8n): functions that realign their stack.
    FramePointerSaved = 5,
    /// CFA = *(sp + 8n) + 8: hand-written code that realigns its stack.
    StackPointerSaved = 6,
    /// CFA = sp + 8 + ((pc & 15) >= n) * 8: stubs of the procedure linkage table.
    LinkageTable = 7,
    /// A signal handler's return: the caller's registers are in the signal frame at sp.
    Signal = 8,
    /// CFA = register + 8 * (n >> 5), where n & 31 says which register: one that only is known of a
    /// function that was interrupted.
    Interrupted = 9,
    /// A function of Go's runtime that has moved from its goroutine's stack to the system's: the caller is
    /// on the goroutine's. n says where that was noted, see [`x86_64::Goroutine`](super::x86_64::Goroutine).
    Goroutine = 10,
}

/// Kind (bits 0..4), where the caller's frame pointer is (bits 4..9), n (bits 9..32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(pub u32);

impl Rule {
    /// No unwind information.
    pub const NONE: Self = Self(Kind::None as u32);
    /// The outermost function.
    pub const END: Self = Self(Kind::End as u32);
    /// Not to be followed.
    pub const UNSUPPORTED: Self = Self(Kind::Unsupported as u32);
    /// A signal frame.
    pub const SIGNAL: Self = Self(Kind::Signal as u32);
    /// The largest `n`.
    pub const MAX_N: u32 = (1 << 23) - 1;
    /// Values of `saved` are below this; what they mean depends on the machine.
    pub const SAVED_VALUES: u32 = 1 << 5;

    /// A rule of its parts; `None` when one does not fit.
    pub const fn new(kind: Kind, n: u32, saved: u32) -> Option<Self> {
        if n > Self::MAX_N || saved >= Self::SAVED_VALUES {
            return None;
        }
        Some(Self(kind as u32 | saved << 4 | n << 9))
    }

    /// The number of its [`Kind`].
    #[inline(always)]
    pub const fn kind(self) -> u32 {
        self.0 & 15
    }

    /// Where the caller's frame pointer (and on some machines the return address) is.
    #[inline(always)]
    pub const fn saved(self) -> u32 {
        self.0 >> 4 & 31
    }

    /// The number in the rule.
    #[inline(always)]
    pub const fn n(self) -> u32 {
        self.0 >> 9
    }
}

/// One row of a table in one word, so that it is read at once and rows sort by address.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(pub u64);

impl Row {
    /// `rule` holds from `address` on.
    pub const fn new(address: u32, rule: Rule) -> Self {
        Self((address as u64) << 32 | rule.0 as u64)
    }

    /// Where it begins, relative to the table's base.
    #[inline(always)]
    pub const fn address(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// What holds there.
    #[inline(always)]
    pub const fn rule(self) -> Rule {
        Rule(self.0 as u32)
    }
}
