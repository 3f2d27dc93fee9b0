//! Insertion into a map that takes its memory element by element.

use aya_ebpf::maps::HashMap;

const ENOMEM: i32 = -12;

/// How often it is tried again.
const RETRIES: u32 = 8;

/// Inserts; 0 or an error of the kernel's. (Of a `Result` LLVM copies the error also where there is none, which the
/// verifier refuses.)
///
/// When the processor's stock of free elements is used up (Linux 6.1 and later: kernel/bpf/memalloc.c), the
/// kernel refuses, and fills the stock in an interrupt that comes right after: then it is tried again. Before 6.1
/// elements are allocated at the start, and this never happens.
#[inline(always)]
pub fn insert<K, V>(map: &HashMap<K, V>, key: &K, value: &V, flags: u64) -> i32 {
    let once = || map.insert(key, value, flags).err().unwrap_or(0);
    let mut error = once();
    for _ in 0..RETRIES {
        if error != ENOMEM {
            break;
        }
        error = once();
    }
    error
}
