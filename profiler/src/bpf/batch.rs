//! Reads whole hash maps in batches: two system calls for some ten thousand entries instead of two
//! for each. aya has no wrapper for it. `BPF_MAP_LOOKUP_BATCH` exists since Linux 5.6.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::mpsc;

use aya::Pod;
use aya_obj::generated::bpf_cmd;

use super::call::{call, zeroed};

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
            let mut attr = zeroed();
            attr.batch.in_batch = self
                .position
                .as_ref()
                .map_or(0, |position| std::ptr::from_ref(position) as u64);
            attr.batch.out_batch = std::ptr::from_mut(&mut next) as u64;
            attr.batch.keys = keys.as_mut_ptr() as u64;
            attr.batch.values = values.as_mut_ptr() as u64;
            attr.batch.count = self.room as u32;
            attr.batch.map_fd = self.map.as_raw_fd().cast_unsigned();
            // SAFETY: the buffers have room for `count` keys and values of the map's types; the kernel
            // writes at most that many and says how many in `count`; the batch position of a hash map
            // is a u32, for which `next` has room.
            let result = unsafe { call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
            match result.map_err(|error| (error.raw_os_error(), error)) {
                Ok(_) => {}
                // The last batch: `count` entries came with it.
                Err((Some(libc::ENOENT), _)) => self.is_done = true,
                Err((Some(libc::ENOSPC), _)) if self.room < 1 << 24 => {
                    self.room *= 4;
                    continue;
                }
                Err((Some(libc::EINTR), _)) => continue,
                Err((_, error)) => return Err(error),
            }
            // SAFETY: a number, whoever wrote it.
            let count = unsafe { attr.batch.count } as usize;
            let count = count.min(self.room);
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
