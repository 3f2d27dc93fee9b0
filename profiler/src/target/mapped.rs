//! What is mapped for execution, told by the kernel as it happens: files that come and go faster
//! than `/proc/PID/maps` is read, and when one takes another's place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::perf::{self, Attributes};

/// Pages of a ring beside its first: room for hundreds of events, of which few are expected.
const PAGES: usize = 16;

/// A file that was mapped for execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// When, `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
    /// Where in the file it begins.
    pub file_offset: u64,
    /// Device of the file, as in `/proc/PID/maps`.
    pub device: (i32, i32),
    /// Its inode.
    pub inode: u64,
    /// As the process sees it.
    pub path: String,
}

/// The events of all processes, one ring for each processor.
pub struct MapEvents {
    rings: Vec<Ring>,
    /// How many events found no room, of all processes.
    pub lost: u64,
}

struct Ring {
    memory: MmapRaw,
    event: OwnedFd,
}

impl MapEvents {
    /// Starts to listen. Needs `CAP_PERFMON`; without, mappings are only read now and then.
    pub fn listen() -> io::Result<Self> {
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
        let rings = processors(&online)
            .map(Ring::open)
            .collect::<Result<_, _>>()?;
        Ok(Self { rings, lost: 0 })
    }

    /// Descriptors that are readable when there are events.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(|ring| ring.event.as_fd())
    }

    /// Takes all events of the process `pid`, oldest first.
    pub fn take(&mut self, pid: u32) -> Vec<Mapped> {
        let mut found = Vec::new();
        for ring in &mut self.rings {
            ring.take(|record| {
                found.extend(parse(record, pid));
                self.lost += lost(record);
            });
        }
        found.sort_by_key(|mapped| mapped.time);
        found
    }
}

/// `0-3,8` is 0, 1, 2, 3, 8.
fn processors(online: &str) -> impl Iterator<Item = i32> {
    online.trim().split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<i32>().ok();
        let range = number(first).zip(number(last));
        range.into_iter().flat_map(|(first, last)| first..=last)
    })
}

impl Ring {
    fn open(processor: i32) -> io::Result<Self> {
        const SAMPLE_TIME: u64 = 1 << 2;
        // mmap, watermark, sample_id_all, mmap2, use_clockid
        const FLAGS: u64 = 1 << 8 | 1 << 14 | 1 << 18 | 1 << 23 | 1 << 25;
        let attributes = Attributes {
            sample_type: SAMPLE_TIME,
            flags: FLAGS,
            // Any record wakes whoever waits: counting wakeups is for samples only.
            wakeup_watermark: 1,
            clock: libc::CLOCK_MONOTONIC,
            ..Attributes::dummy()
        };
        let event = File::from(perf::open(&attributes, -1, processor)?);
        let memory = MmapOptions::new()
            .len((PAGES + 1) * page_size())
            .map_raw(&event)?;
        Ok(Self {
            memory,
            event: event.into(),
        })
    }

    /// Takes all records out.
    fn take(&mut self, mut each: impl FnMut(&[u8])) {
        const HEAD: usize = 1024;
        const TAIL: usize = 1032;
        let base = self.memory.as_mut_ptr();
        // SAFETY: the first page of the mapping is a perf_event_mmap_page, in which these are 8-byte
        // aligned words; the kernel writes the one and reads the other, both atomically.
        let (head, tail) = unsafe {
            (
                AtomicU64::from_ptr(base.add(HEAD).cast()),
                AtomicU64::from_ptr(base.add(TAIL).cast()),
            )
        };
        let (end, mut at) = (head.load(Ordering::Acquire), tail.load(Ordering::Relaxed));
        let size = PAGES * page_size();
        let copy = |from: u64, length: usize| -> Vec<u8> {
            let byte = |index: usize| {
                let place = page_size() + (from as usize + index) % size;
                // SAFETY: within the mapping; between tail and head the kernel does not write.
                unsafe { base.add(place).read_volatile() }
            };
            (0..length).map(byte).collect()
        };
        while end.wrapping_sub(at) >= 8 {
            let header = copy(at, 8);
            let length = usize::from(u16::from_ne_bytes([header[6], header[7]]));
            if length < 8 || length as u64 > end - at {
                break;
            }
            each(&copy(at, length));
            at += length as u64;
        }
        tail.store(end, Ordering::Release);
    }
}

/// How many events a `PERF_RECORD_LOST` stands for; 0 for other records.
fn lost(record: &[u8]) -> u64 {
    const LOST: u32 = 2;
    let kind = record.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let count = record.get(16..24).and_then(|bytes| bytes.try_into().ok());
    match (kind, count) {
        (Some(LOST), Some(count)) => u64::from_ne_bytes(count),
        _ => 0,
    }
}

/// A `PERF_RECORD_MMAP2` of this process.
fn parse(record: &[u8], pid: u32) -> Option<Mapped> {
    const MMAP2: u32 = 10;
    const NAME: usize = 72;
    let u32_at = |at: usize| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(record.get(at..at + 8)?.try_into().ok()?));
    if u32_at(0)? != MMAP2 || u32_at(8)? != pid || u32_at(64)? & libc::PROT_EXEC as u32 == 0 {
        return None;
    }
    let time = record.len().checked_sub(8)?;
    let name = record.get(NAME..time)?.split(|byte| *byte == 0).next()?;
    // Memory that is no file has a name like `//anon` or `[heap]`.
    if !name.starts_with(b"/") || name.starts_with(b"//") {
        return None;
    }
    let start = u64_at(16)?;
    Some(Mapped {
        time: u64_at(time)?,
        start,
        end: start.checked_add(u64_at(24)?)?,
        file_offset: u64_at(32)?,
        device: (u32_at(40)?.cast_signed(), u32_at(44)?.cast_signed()),
        inode: u64_at(48)?,
        path: String::from_utf8_lossy(name).into_owned(),
    })
}

fn page_size() -> usize {
    procfs::page_size() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(processors("0-3,8\n").collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
        assert_eq!(processors("0\n").collect::<Vec<_>>(), [0]);
        assert_eq!(processors("").count(), 0);
    }

    #[test]
    fn what_found_no_room_is_counted() {
        let mut record = [0_u8; 32];
        record[0] = 2;
        record[16] = 5;
        assert_eq!(lost(&record), 5);
        assert_eq!(lost(&record[..20]), 0);
        record[0] = 10;
        assert_eq!(lost(&record), 0);
    }

    #[test]
    fn records_of_any_content_are_survived() {
        for length in 0..120 {
            let mut record = vec![0; length];
            for (at, byte) in record.iter_mut().enumerate() {
                *byte = [10, 0, 0, 0][at % 4];
            }
            parse(&record, 10);
        }
    }
}
