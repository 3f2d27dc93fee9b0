//! Reads whole hash maps in batches: two system calls for some ten thousand entries instead of two
//! for each. aya has no wrapper for it. `BPF_MAP_LOOKUP_BATCH` exists since Linux 5.6.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::mpsc;

use aya::Pod;

/// `enum bpf_cmd`, include/uapi/linux/bpf.h.
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Calls `each` for every entry of the hash map `map`, whose key and value types must be `K` and `V`.
/// Entries that are inserted or removed meanwhile may or may not be among them. Of a large map the next entries are read by
/// another thread meanwhile.
pub fn for_each<K: Pod + Send, V: Pod + Send>(
    map: BorrowedFd<'_>,
    mut each: impl FnMut(&K, &V),
) -> io::Result<()> {
    let mut reader = Reader::of(map);
    let mut entries = Entries::default();
    reader.read(&mut entries)?;
    if reader.is_done {
        entries.for_each(&mut each);
        return Ok(());
    }
    std::thread::scope(|scope| {
        let (read, to_use) = mpsc::sync_channel(1);
        let (used, to_fill) = mpsc::channel::<Entries<K, V>>();
        scope.spawn(move || {
            for mut entries in to_fill {
                let result = reader.read(&mut entries).map(|()| entries);
                let is_last = result.is_err() || reader.is_done;
                // Nobody takes them only if `each` panics.
                if read.send(result).is_err() || is_last {
                    break;
                }
            }
        });
        // The thread takes no more of them when it has read the last.
        let _ended = used.send(Entries::default());
        for entries in std::iter::once(Ok(entries)).chain(to_use) {
            let entries = entries?;
            entries.for_each(&mut each);
            let _ended = used.send(entries);
        }
        Ok(())
    })
}

/// Some of a map's entries: as many keys as values.
struct Entries<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<K, V> Entries<K, V> {
    fn for_each(&self, each: &mut impl FnMut(&K, &V)) {
        for (key, value) in self.keys.iter().zip(&self.values) {
            each(key, value);
        }
    }
}

/// How far a map has been read.
struct Reader<'a> {
    map: BorrowedFd<'a>,
    /// How many entries are asked for at a time.
    room: usize,
    /// Where to go on; `None`: at the beginning.
    position: Option<u64>,
    is_done: bool,
}

impl<'a> Reader<'a> {
    const fn of(map: BorrowedFd<'a>) -> Self {
        Self {
            map,
            // One bucket must fit, and the kernel reads whole buckets: it answers ENOSPC when not.
            room: 1 << 14,
            position: None,
            is_done: false,
        }
    }

    /// The next entries, in the place of those that are there.
    fn read<K: Pod, V: Pod>(&mut self, entries: &mut Entries<K, V>) -> io::Result<()> {
        let Entries { keys, values } = entries;
        loop {
            keys.clear();
            keys.reserve(self.room);
            values.clear();
            values.reserve(self.room);
            let mut next = 0_u64;
            let mut attr = BatchAttr {
                in_batch: self
                    .position
                    .as_ref()
                    .map_or(0, |position| std::ptr::from_ref(position) as u64),
                out_batch: std::ptr::from_mut(&mut next) as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: self.room as u32,
                map_fd: self.map.as_raw_fd() as u32,
                ..BatchAttr::default()
            };
            // SAFETY: the buffers have room for `count` keys and values of the map's types; the kernel
            // writes at most that many and says how many in `count`; the batch position of a hash map
            // is a u32, for which `next` has room.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    BPF_MAP_LOOKUP_BATCH,
                    std::ptr::from_mut(&mut attr),
                    size_of::<BatchAttr>(),
                )
            };
            let error = io::Error::last_os_error();
            match (result, error.raw_os_error()) {
                (0, _) => {}
                // The last batch: `count` entries came with it.
                (_, Some(libc::ENOENT)) => self.is_done = true,
                (_, Some(libc::ENOSPC)) if self.room < 1 << 24 => {
                    self.room *= 4;
                    continue;
                }
                (_, Some(libc::EINTR)) => continue,
                _ => return Err(error),
            }
            let count = (attr.count as usize).min(self.room);
            // SAFETY: the kernel has filled that many; Pod types have no invalid bytes.
            unsafe {
                keys.set_len(count);
                values.set_len(count);
            }
            self.position = Some(next);
            return Ok(());
        }
    }
}
