//! `/proc/PID/pagemap`, for kernels without `PAGEMAP_SCAN`: a word for each page of what is mapped
//! (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memmap2::MmapOptions;

use super::mappings::{Class, MappedRange};
use super::{HUGE_PAGE, PAGE, Present};

/// Words for one read.
const AT_ONCE: u64 = 1 << 16;

pub const PRESENT: u64 = 1 << 63;
const FILE: u64 = 1 << 61;
/// The page frame's number; all zeros for who may not know it.
pub const FRAME: u64 = (1 << 55) - 1;

/// Bits of `/proc/kpageflags`.
const TRANSPARENT_HUGE: u64 = 1 << 22;
const ZERO: u64 = 1 << 24;

const PAGES_OF_HUGE: u64 = HUGE_PAGE / PAGE;

/// What must be known of the machine's page frames.
struct Frames {
    /// The shared page of zeros.
    zero: u64,
    flags: Option<File>,
}

/// Pages of what is mapped that are present and not of zeros.
pub fn present(pagemap: &File, mapped: &[MappedRange]) -> io::Result<Vec<Present>> {
    let frames = Frames::look()?;
    let mut found: Vec<Present> = Vec::new();
    for range in mapped
        .iter()
        .filter(|range| range.class != Class::Uncounted)
    {
        let mut page = range.start / PAGE;
        let end = range.end / PAGE;
        while page < end {
            // Up to a multiple, so that huge pages are not cut.
            let count = (AT_ONCE - page % AT_ONCE).min(end - page);
            let words = words(pagemap, page, count)?;
            if words.is_empty() {
                // vsyscall and the like: above what pagemap tells of.
                break;
            }
            frames.gather(page, &words, &mut found);
            page += words.len() as u64;
        }
    }
    Ok(found)
}

/// The words of `count` pages from the page `first` on, as many as there are.
pub fn words(pagemap: &File, first: u64, count: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; count as usize * 8];
    let read = loop {
        match pagemap.read_at(&mut bytes, first * 8) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    Ok(to_words(&bytes[..read]))
}

/// What these files are made of.
pub fn to_words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8);
    words
        .map(|word| {
            word.first_chunk()
                .map_or(0, |word| u64::from_ne_bytes(*word))
        })
        .collect()
}

impl Frames {
    fn look() -> io::Result<Self> {
        // Never written to: read, it is the page of zeros.
        let page = MmapOptions::new().len(PAGE as usize).map_anon()?;
        std::hint::black_box(page[0]);
        let mut word = [0; 8];
        File::open("/proc/self/pagemap")?
            .read_exact_at(&mut word, page.as_ptr() as u64 / PAGE * 8)?;
        Ok(Self {
            zero: u64::from_ne_bytes(word) & FRAME,
            flags: File::open("/proc/kpageflags").ok(),
        })
    }

    /// Adds what is present of the pages from `first` on.
    fn gather(&self, first: u64, words: &[u64], found: &mut Vec<Present>) {
        let mut index = 0;
        while index < words.len() {
            let word = words[index];
            if word & PRESENT == 0 || word & FRAME == self.zero && self.zero != 0 {
                index += 1;
                continue;
            }
            let page = first + index as u64;
            let (count, huge, is_zero) = self
                .huge(page, &words[index..])
                .unwrap_or((1, false, false));
            if !is_zero {
                add(found, page * PAGE, count * PAGE, word & FILE != 0, huge);
            }
            index += count as usize;
        }
    }

    /// If a huge page begins here: its pages, and whether it is of zeros.
    fn huge(&self, page: u64, words: &[u64]) -> Option<(u64, bool, bool)> {
        let frame = words[0] & FRAME;
        if !page.is_multiple_of(PAGES_OF_HUGE) || frame == 0 || !frame.is_multiple_of(PAGES_OF_HUGE)
        {
            return None;
        }
        let pages = words.get(..PAGES_OF_HUGE as usize)?;
        let in_a_row = pages
            .iter()
            .zip(frame..)
            .all(|(word, frame)| word & PRESENT != 0 && word & FRAME == frame);
        if !in_a_row {
            return None;
        }
        let mut flags = [0; 8];
        self.flags
            .as_ref()?
            .read_exact_at(&mut flags, frame * 8)
            .ok()?;
        let flags = u64::from_ne_bytes(flags);
        (flags & TRANSPARENT_HUGE != 0).then_some((PAGES_OF_HUGE, true, flags & ZERO != 0))
    }
}

fn add(found: &mut Vec<Present>, start: u64, length: u64, file: bool, huge: bool) {
    match found.last_mut() {
        Some(last) if (last.end, last.file, last.huge) == (start, file, huge) => last.end += length,
        _ => found.push(Present {
            start,
            end: start + length,
            file,
            huge,
        }),
    }
}
