//! Pages: their kinds, and how what was recorded compares with the kernel's own account.

use std::ops::AddAssign;

/// What a page is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Memory of the process's own.
    Anonymous,
    /// The same, in a transparent huge page.
    Huge,
    /// A file.
    File,
    /// Shared memory: tmpfs, memfd, System V, shared anonymous mappings.
    Shmem,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anonymous, Self::Huge, Self::File, Self::Shmem];

    /// The name in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Huge => "huge",
            Self::File => "file",
            Self::Shmem => "shmem",
        }
    }
}

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByKind([u64; 4]);

impl ByKind {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds to one kind.
    pub fn add(&mut self, kind: Kind, bytes: u64) {
        self.0[kind as usize] += bytes;
    }

    /// Of all kinds.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Anonymous memory, in pages of any size.
    pub fn anonymous(&self) -> u64 {
        self.of(Kind::Anonymous) + self.of(Kind::Huge)
    }
}

impl AddAssign for ByKind {
    fn add_assign(&mut self, more: Self) {
        for (kind, bytes) in self.0.iter_mut().zip(more.0) {
            *kind += bytes;
        }
    }
}

/// The kernel's account of what is resident, bytes (`/proc/PID/smaps_rollup`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// The resident set.
    pub rss: u64,
    /// Of that, anonymous memory; the rest is files' and shared.
    pub anonymous: u64,
    /// Of that, in transparent huge pages.
    pub huge: u64,
    /// Not resident, but swapped out.
    pub swap: u64,
    /// Of what is anonymous, given back with `MADV_FREE`, and not taken by the kernel yet.
    pub lazily_freed: u64,
}

/// What was given back with `MADV_FREE` and is resident at the end all the same. All in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenBackLazily {
    /// Came during the recording: neither explained nor unexplained.
    pub not_counted: u64,
    /// Counted as if it were in use, as it is not known which pages it is: others of the same mapping
    /// were written again since (no page fault tells of that), or page frames are hidden from us.
    pub counted: u64,
    /// Resident when the recording began, and since.
    pub of_before: u64,
    /// Page frames are hidden from us: `counted` is all there is to say.
    pub hidden: bool,
}

/// Why the resident set has changed. All in bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reconciliation {
    /// When the recording began.
    pub before: Resident,
    /// At its end, or at the last look at a target that is gone.
    pub after: Resident,
    /// Touched during the recording and resident: what the stacks explain, of any age.
    pub explained: ByKind,
    /// Resident before, and not any more (or touched anew).
    pub given_back: ByKind,
    /// Resident, not before, and nobody was seen to touch it: populated by the kernel, or by another
    /// process.
    pub unexplained: ByKind,
    /// Resident, but given back by the process.
    pub given_back_lazily: GivenBackLazily,
    /// By how much the resident set changed while it was looked at, before or after: so far can the
    /// kernel's account be from ours.
    pub changed_while_looking: u64,
    /// How long before the end the last look was, seconds; `None`: at the end.
    pub looked_before_end: Option<f64>,
}

impl Reconciliation {
    /// By how much the resident set grew; negative when it shrank.
    pub fn grew(&self) -> i64 {
        self.after.rss.cast_signed() - self.before.rss.cast_signed()
    }

    /// What the stacks explain of what came, as a fraction; `None` when nothing came. What was given
    /// back of what had been there is added to the growth: something else has come in its place. What
    /// came and was given back lazily is none of it.
    pub fn explained_share(&self) -> Option<f64> {
        self.share(self.explained.sum(), self.grew(), self.given_back.sum())
    }

    /// The same of anonymous memory alone.
    pub fn explained_share_of_anonymous(&self) -> Option<f64> {
        let grew = self.after.anonymous.cast_signed() - self.before.anonymous.cast_signed();
        self.share(
            self.explained.anonymous(),
            grew,
            self.given_back.anonymous(),
        )
    }

    fn share(&self, explained: u64, grew: i64, given_back: u64) -> Option<f64> {
        let lazily = self.given_back_lazily.not_counted;
        let came = grew + given_back.cast_signed() - lazily.cast_signed();
        (came > 0).then(|| explained as f64 / came as f64)
    }
}
