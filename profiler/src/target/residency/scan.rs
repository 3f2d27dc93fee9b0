//! `PAGEMAP_SCAN`: the kernel names ranges of pages instead of pages.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use super::Present;

/// Where user space can end: 57 bits with five levels of page tables, less what the kernel keeps.
pub const USER_END: u64 = (1 << 56) - 4096;

/// With four levels of page tables.
const USER_END_4: u64 = (1 << 47) - 4096;

/// Ranges for one call.
const AT_ONCE: usize = 8192;

/// `struct pm_scan_arg`, include/uapi/linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Arguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `PAGE_IS_*`, the same file.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const ZERO: u64 = 1 << 5;
const HUGE: u64 = 1 << 6;

nix::ioctl_readwrite!(pagemap_scan, b'f', 16, Arguments);

/// Pages in `range` that are present and not the shared page of zeros, which RSS does not count.
pub fn present(pagemap: &File, range: Range<u64>) -> io::Result<Vec<Present>> {
    let mut regions = vec![Region::default(); AT_ONCE];
    let mut found = Vec::new();
    let mut end = range.end;
    let mut start = range.start;
    while start < end {
        let mut arguments = Arguments {
            size: size_of::<Arguments>() as u64,
            start,
            end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            category_inverted: ZERO,
            category_mask: PRESENT | ZERO,
            return_mask: FILE | HUGE,
            ..Arguments::default()
        };
        // SAFETY: the kernel reads and writes `size` bytes of the arguments and at most `vec_len`
        // regions.
        let filled = match unsafe { pagemap_scan(pagemap.as_raw_fd(), &raw mut arguments) } {
            Ok(filled) => filled as usize,
            // The end is behind what this machine has.
            Err(nix::Error::EFAULT) if end > USER_END_4 => {
                end = USER_END_4;
                continue;
            }
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        found.extend(regions.iter().take(filled).map(|region| Present {
            start: region.start,
            end: region.end,
            file: region.categories & FILE != 0,
            huge: region.categories & HUGE != 0,
        }));
        // Where the walk ended is told only when the room was used up: at the end of the address space
        // `walk_end` is what it was some time before (Linux 6.18).
        match regions[..filled].last() {
            Some(last) if filled == regions.len() => start = last.end,
            _ => break,
        }
    }
    Ok(found)
}
