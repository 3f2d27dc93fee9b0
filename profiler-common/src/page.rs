//! Pages that were touched.

/// Bytes of the smallest page; x86-64's only one beside the huge ones. Machines whose pages are larger
/// (aarch64 may have 16 or 64 KiB) are told by the user side.
pub const SMALLEST_PAGE: u64 = 4096;

/// How many neighbouring pages have one entry in the map of touches: what is touched in order finds the entry's
/// cache lines where they are, and takes a third of the memory. A power of two.
pub const NEIGHBOURS: u64 = 4;

/// Value of the map of touches, whose key is the address of the first of these pages in one address space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// Of each page, from the lowest address on.
    pub kept: [Kept; NEIGHBOURS as usize],
}

impl Touches {
    /// The key's address, and which of the entry's pages is the one at `address`.
    #[must_use]
    #[inline(always)]
    pub const fn place(address: u64) -> (u64, u64) {
        const BYTES: u64 = NEIGHBOURS * SMALLEST_PAGE;
        (address & !(BYTES - 1), address / SMALLEST_PAGE % NEIGHBOURS)
    }
}

/// A [`Touch`] in two words; zeros: there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    stack: u64,
    time_and_how: u64,
}

impl Kept {
    /// Bits of [`how`]. The rest is enough for nanoseconds of 36 years.
    const HOW: u32 = 4;

    /// What is kept of a touch, whose time is not 0.
    #[must_use]
    #[inline(always)]
    pub const fn of(touch: &Touch) -> Self {
        Self {
            stack: touch.stack,
            time_and_how: touch.time << Self::HOW | touch.how,
        }
    }

    /// The touch, if there is one.
    #[must_use]
    #[inline(always)]
    pub const fn touch(&self) -> Option<Touch> {
        if self.time_and_how == 0 {
            return None;
        }
        Some(Touch {
            stack: self.stack,
            time: self.time_and_how >> Self::HOW,
            how: self.time_and_how & ((1 << Self::HOW) - 1),
        })
    }
}

/// The last touch of a page that may have made it resident.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Hash of the stack that touched it.
    pub stack: u64,
    /// When: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Bits of [`how`].
    pub how: u64,
}

/// Memory that was moved with what is in it (`mremap(2)`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// Address it was at.
    pub from: u64,
    /// Address it is at.
    pub to: u64,
    /// Bytes, whole pages.
    pub length: u64,
    /// When the call began: `CLOCK_MONOTONIC`, nanoseconds.
    pub called: u64,
    /// When it was over.
    pub returned: u64,
}

/// Bits of [`Touch::how`].
pub mod how {
    /// No page was present there.
    pub const ABSENT: u64 = 1;
    /// The page was written to.
    pub const WRITE: u64 = 2;
    /// The kernel touched it on the thread's behalf, in a system call.
    pub const KERNEL: u64 = 4;
    /// Whether a page was present, and whether it was written to, is not known.
    pub const UNKNOWN: u64 = 8;
}

/// Whether a touch replaces the one before it (`None`: there is none), of a page that has not been given
/// back between: the touch that is kept is the one that made the page resident.
///
/// - Nothing was present: whatever was known of the page is over.
/// - A page was present and is written to: it is the shared page of zeros, which is not part of the
///   resident set, or a page that is shared and is copied now. After a read both are replaced by a page
///   of the process's own; after a write there is one already (then it is shared since a fork).
#[must_use]
pub const fn replaces(before: Option<u64>, now: u64) -> bool {
    match before {
        _ if replaces_any(now) => true,
        None => now & how::WRITE != 0,
        Some(before) => now & how::WRITE != 0 && before & how::WRITE == 0,
    }
}

/// Whether a touch replaces the one before it, whatever that was.
#[must_use]
pub const fn replaces_any(now: u64) -> bool {
    now & (how::ABSENT | how::UNKNOWN) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_is_kept_as_it_is() {
        let touch = Touch {
            stack: u64::MAX,
            time: (1 << 60) - 1,
            how: how::ABSENT | how::WRITE | how::KERNEL | how::UNKNOWN,
        };
        assert_eq!(Kept::of(&touch).touch(), Some(touch));
        assert_eq!(Kept::default().touch(), None);
        assert_eq!(Touches::place(0x7fff_0000_3fff), (0x7fff_0000_0000, 3));
        assert_eq!(Touches::place(0x4000), (0x4000, 0));
    }

    #[test]
    fn the_touch_that_made_a_page_resident_is_kept() {
        let read = how::ABSENT;
        let write = how::ABSENT | how::WRITE;
        let copy = how::WRITE;
        // What was known of an absent page is over.
        assert!(replaces(None, read) && replaces(Some(write), read) && replaces(Some(copy), write));
        // Zeros or a file's page, then a page of its own.
        assert!(replaces(Some(read), copy));
        // A copy after a fork.
        assert!(!replaces(Some(write), copy) && !replaces(Some(copy), copy));
        // Resident since before the recording.
        assert!(replaces(None, copy));
        // A read of a page that is there changes nothing.
        assert!(!replaces(None, 0) && !replaces(Some(read), 0));
    }
}
