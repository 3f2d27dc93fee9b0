//! What the two sides tell each other about the recording.

/// Written by the user side only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// 1 while events count.
    pub recording: u32,
    /// The target.
    pub tgid: u32,
    /// How stacks are walked: one of [`mode`](crate::unwind::mode).
    pub unwind: u32,
    /// Always 0.
    pub padding: u32,
    /// When events began to count, for the last time: `CLOCK_MONOTONIC`, nanoseconds.
    pub since: u64,
}

/// How many places [`Traps`] tells apart.
pub const TRAP_PLACES: usize = 512;

/// How often programs of uprobes ran, whether events counted or not; what they saw while events counted; and where the
/// target's CPU time goes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Traps {
    /// Those on an instruction, by its [`trap_place`].
    pub sites: [u64; TRAP_PLACES],
    /// Those on the kernel's trampoline, to which functions return.
    pub returns: u64,
    /// Those that entries went on in, to walk a stack.
    pub walks: u64,
    /// Blocks that were taken.
    pub taken: u64,
    /// Blocks that were given back, those among them that were taken before, or in a gap.
    pub given_back: u64,
    /// Where the target was when the processor's clock was sampled.
    pub clock: Clock,
}

/// Samples of the processor's clock that met the target.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// All of them.
    pub samples: u64,
    /// Those that met it in user mode, and not on its way into a probe or out of it.
    pub own: u64,
}

impl core::ops::AddAssign for Clock {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.own += other.own;
    }
}

impl core::ops::Sub for Clock {
    type Output = Self;

    /// Those that came after `before`.
    fn sub(self, before: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(before.samples),
            own: self.own.saturating_sub(before.own),
        }
    }
}

impl Traps {
    /// None at all.
    pub const NONE: Self = Self {
        sites: [0; TRAP_PLACES],
        returns: 0,
        walks: 0,
        taken: 0,
        given_back: 0,
        clock: Clock { samples: 0, own: 0 },
    };

    /// Adds these.
    pub fn add(&mut self, other: &Self) {
        for (sum, runs) in self.sites.iter_mut().zip(&other.sites) {
            *sum += runs;
        }
        self.returns += other.returns;
        self.walks += other.walks;
        self.taken += other.taken;
        self.given_back += other.given_back;
        self.clock += other.clock;
    }

    /// Blocks that were taken less those that were given back.
    #[must_use]
    pub fn net(&self) -> i64 {
        self.taken.wrapping_sub(self.given_back).cast_signed()
    }
}

/// Of an address, or of the offset in the file that is mapped there: pages are mapped as a whole.
#[inline(always)]
#[must_use]
pub const fn trap_place(address: u64) -> usize {
    (address as usize & 0xfff) >> 3
}

/// Written by the eBPF side only: the target ended the recording by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// One of [`ended`].
    pub reason: u64,
    /// When: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}

/// Values of [`Ended::reason`].
pub mod ended {
    /// It goes on.
    pub const NO: u64 = 0;
    /// The target replaced its program.
    pub const EXEC: u64 = 1;
    /// The target's first thread exited, alone or with the whole process.
    pub const MAIN_THREAD_EXITED: u64 = 2;
}
