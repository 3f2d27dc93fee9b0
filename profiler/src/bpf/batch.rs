//! Reads whole hash maps in batches: two system calls for some ten thousand entries instead of two
//! for each. aya has no wrapper for it. `BPF_MAP_LOOKUP_BATCH` exists since Linux 5.6.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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
/// Entries that are inserted or removed meanwhile may or may not be among them.
pub fn for_each<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    mut each: impl FnMut(&K, &V),
) -> io::Result<()> {
    // One bucket must fit, and the kernel reads whole buckets: it answers ENOSPC when not.
    let mut room = 1 << 14;
    let mut position: Option<u64> = None;
    let (mut keys, mut values) = (Vec::<K>::new(), Vec::<V>::new());
    loop {
        keys.clear();
        keys.reserve(room);
        values.clear();
        values.reserve(room);
        let mut next = 0_u64;
        let mut attr = BatchAttr {
            in_batch: position
                .as_ref()
                .map_or(0, |position| std::ptr::from_ref(position) as u64),
            out_batch: std::ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: room as u32,
            map_fd: map.as_raw_fd() as u32,
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
        let done = match (result, error.raw_os_error()) {
            (0, _) => false,
            // The last batch: `count` entries came with it.
            (_, Some(libc::ENOENT)) => true,
            (_, Some(libc::ENOSPC)) if room < 1 << 24 => {
                room *= 4;
                continue;
            }
            (_, Some(libc::EINTR)) => continue,
            _ => return Err(error),
        };
        let count = (attr.count as usize).min(room);
        // SAFETY: the kernel has filled that many; Pod types have no invalid bytes.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        for (key, value) in keys.iter().zip(&values) {
            each(key, value);
        }
        if done {
            return Ok(());
        }
        position = Some(next);
    }
}
