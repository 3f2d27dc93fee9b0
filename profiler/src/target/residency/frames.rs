//! What the kernel knows of the page frames behind resident pages: which of them are parts of a larger
//! one, and which have been given back lazily.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::pagemap::{self, FRAME, PRESENT};
use super::{Folio, PAGE};

/// Bits of `/proc/kpageflags` (Documentation/admin-guide/mm/pagemap.rst).
const ANON: u64 = 1 << 12;
const SWAP_BACKED: u64 = 1 << 14;
const HEAD: u64 = 1 << 15;
const TAIL: u64 = 1 << 16;

/// Pages for one read.
const AT_ONCE: u64 = 1 << 16;

/// Frames between two that are asked for, up to which one read is less work than two.
const GAP: u64 = 32;

/// Frames of the largest anonymous folio, which is aligned to its size.
const BLOCK: u64 = 512;

/// What is known of one resident page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frame {
    /// The larger one that it is a part of.
    pub folio: Option<Folio>,
    /// Anonymous and not backed by swap: given back with `MADV_FREE` once.
    pub lazy: bool,
}

/// The files that tell.
pub struct Frames {
    pagemap: File,
    flags: File,
}

impl Frames {
    /// Fails for who may not see page frames (`CAP_SYS_ADMIN`), and when the process has ended.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            pagemap: File::open(format!("/proc/{pid}/pagemap"))?,
            flags: File::open("/proc/kpageflags")?,
        })
    }

    /// Calls `each` for every page of a range that is still present, in the order of addresses.
    pub fn look(&self, start: u64, end: u64, mut each: impl FnMut(u64, Frame)) -> io::Result<()> {
        let mut from = start / PAGE;
        while from < end / PAGE {
            let count = AT_ONCE.min(end / PAGE - from);
            let words = pagemap::words(&self.pagemap, from, count)?;
            if words.is_empty() {
                break;
            }
            self.look_at(from, &words, &mut each)?;
            from += words.len() as u64;
        }
        Ok(())
    }

    fn look_at(
        &self,
        first: u64,
        words: &[u64],
        each: &mut impl FnMut(u64, Frame),
    ) -> io::Result<()> {
        let numbers: Vec<u64> = words
            .iter()
            .filter(|word| *word & PRESENT != 0)
            .map(|word| word & FRAME)
            .collect();
        if numbers.contains(&0) {
            let what = "page frames are hidden from who lacks CAP_SYS_ADMIN";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        let flags = self.flags_of(numbers)?;
        let mut blocks = HashMap::new();
        for (page, word) in (first..)
            .zip(words)
            .filter(|(_, word)| *word & PRESENT != 0)
        {
            let number = word & FRAME;
            let mut of_page = flags.of(number);
            let mut folio = None;
            if of_page & (HEAD | TAIL) != 0 {
                let block = number - number % BLOCK;
                let block_flags = match blocks.entry(block) {
                    std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::hash_map::Entry::Vacant(new) => {
                        new.insert(self.read(block, BLOCK)?)
                    }
                };
                if let Some((head, size)) = bounds(block_flags, (number - block) as usize) {
                    // A tail has some flags of its own only since Linux 6.10.
                    of_page = block_flags[head];
                    let start = (page * PAGE).wrapping_sub((number - block - head as u64) * PAGE);
                    folio = Some(Folio {
                        start,
                        end: start.wrapping_add(size as u64 * PAGE),
                    });
                }
            }
            let lazy = of_page & (ANON | SWAP_BACKED) == ANON;
            each(page * PAGE, Frame { folio, lazy });
        }
        Ok(())
    }

    /// The flags of these frames.
    fn flags_of(&self, mut numbers: Vec<u64>) -> io::Result<Flags> {
        numbers.sort_unstable();
        let mut flags = Flags::default();
        for near in numbers.chunk_by(|one, next| next - one <= GAP) {
            if let (Some(&first), Some(last)) = (near.first(), near.last()) {
                flags.0.push((first, self.read(first, last - first + 1)?));
            }
        }
        Ok(flags)
    }

    fn read(&self, first: u64, count: u64) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; count as usize * 8];
        let read = self.flags.read_at(&mut bytes, first * 8)?;
        let mut words = pagemap::to_words(&bytes[..read]);
        // Behind the last frame there is: a block need not be whole.
        words.resize(count as usize, 0);
        Ok(words)
    }
}

/// Of frames, those that are near each other together: the first one's number, and all of them.
#[derive(Default)]
struct Flags(Vec<(u64, Vec<u64>)>);

impl Flags {
    fn of(&self, number: u64) -> u64 {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        let flags = behind.checked_sub(1).and_then(|at| {
            let (first, flags) = self.0.get(at)?;
            flags.get((number - first) as usize)
        });
        flags.copied().unwrap_or_default()
    }
}

/// Where the larger frame that has the frame at `index` begins, and its size.
fn bounds(flags: &[u64], index: usize) -> Option<(usize, usize)> {
    let head = flags
        .get(..=index)?
        .iter()
        .rposition(|of_page| of_page & HEAD != 0)?;
    let tails = flags[head + 1..]
        .iter()
        .take_while(|of_page| *of_page & TAIL != 0)
        .count();
    (head + tails >= index).then_some((head, 1 + tails))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_frame_is_a_head_and_its_tails() {
        let flags = [HEAD, TAIL, 0, HEAD, TAIL, TAIL, TAIL, HEAD, TAIL];
        assert_eq!(bounds(&flags, 1), Some((0, 2)));
        assert_eq!(bounds(&flags, 3), Some((3, 4)));
        assert_eq!(bounds(&flags, 6), Some((3, 4)));
        assert_eq!(bounds(&flags, 8), Some((7, 2)));
        // Taken apart between two looks.
        assert_eq!(bounds(&flags, 2), None);
        assert_eq!(bounds(&[TAIL, TAIL], 1), None);
    }
}
