//! Waits for programs that are running.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use aya_obj::generated::bpf_map_type::{self, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_ARRAY_OF_MAPS};
use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::call::{make, put, zeroed};

/// A map in a map. Nobody reads it, but when it is updated the kernel waits for a grace period of RCU, so that no program
/// goes on with the map that was there before (kernel/bpf/syscall.c, `maybe_wait_bpf_programs`, since Linux 4.20): until every
/// program has ended that was running, also one whose thread or virtual processor does not get to run.
///
/// membarrier(2) does the same for all, but not where there is one processor, or where some have no tick.
pub struct Barrier {
    map: OwnedFd,
    inner: OwnedFd,
}

impl Barrier {
    pub(super) fn new() -> io::Result<Self> {
        let inner = array(BPF_MAP_TYPE_ARRAY, |_| {})?;
        let map = array(BPF_MAP_TYPE_ARRAY_OF_MAPS, |attr| {
            attr.__bindgen_anon_1.inner_map_fd = inner.as_raw_fd().cast_unsigned();
        })?;
        Ok(Self { map, inner })
    }

    /// Returns when every program has ended that was running when it was called.
    pub(super) fn wait(&self) -> io::Result<()> {
        // SAFETY: an array of maps.
        unsafe { put(self.map.as_raw_fd(), 0, self.inner.as_raw_fd()) }
    }
}

/// An array of one element of four bytes.
fn array(kind: bpf_map_type, more: impl Fn(&mut bpf_attr)) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.__bindgen_anon_1.map_type = kind as u32;
    attr.__bindgen_anon_1.key_size = 4;
    attr.__bindgen_anon_1.value_size = 4;
    attr.__bindgen_anon_1.max_entries = 1;
    more(&mut attr);
    // SAFETY: these attributes point to nothing.
    unsafe { make(bpf_cmd::BPF_MAP_CREATE, &mut attr) }
}
