//! What differs between kernels and matters to a recording, found by asking the running one. Nothing
//! else in unfreed decides by a kernel's age.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::bpf::{FaultEvents, Memory};

/// The most live blocks, or touched pages, that are kept track of when nothing else is asked for: each costs 16 bytes
/// of kernel memory, and about 100 more while it is there. No power of two, as maps have that many buckets and more, and there
/// are vacant entries besides.
const ENTRIES: u32 = 4_000_000;

/// The same where all of the memory is taken at the start: 90 MB.
const ENTRIES_UP_FRONT: u32 = 1_000_000;

/// The most threads at a time that can be told apart: one costs about 13 KiB.
const THREADS: u32 = 1 << 16;

/// The least where all of the memory is taken at the start.
const THREADS_UP_FRONT: u32 = 2048;

/// What the running kernel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// When the maps of blocks and threads take their memory.
    pub memory: Memory,
    /// How it tells of page faults.
    pub faults: FaultEvents,
}

impl Kernel {
    /// Asks the running kernel. `sysfs`: where sysfs is mounted.
    pub fn probe(sysfs: &Path) -> anyhow::Result<Self> {
        let types = std::fs::read(sysfs.join("kernel/btf/vmlinux"))
            .context("reading the kernel's type information")?;
        // Linux 6.1 gave hash maps an allocator of their own (commit fba1a1c6c912), which is safe
        // wherever a program runs, and lets tracing programs use maps that grow (96da3f7d489d).
        // Kernels before take such a program with a warning in the kernel's log, which taints the
        // kernel and, with panic_on_warn, ends it (kernel/bpf/verifier.c,
        // check_map_prog_compatibility).
        let grows = has_name(&types, "bpf_mem_alloc").context("the kernel's type information")?;
        Ok(Self {
            memory: if grows {
                Memory::AsItGrows
            } else {
                Memory::UpFront
            },
            faults: faults(sysfs),
        })
    }

    /// How many live blocks, or touched pages, to keep track of. `asked`: what the user asks for.
    pub fn entries(self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(match self.memory {
            Memory::AsItGrows => ENTRIES,
            Memory::UpFront => ENTRIES_UP_FRONT,
        })
    }

    /// How many threads to keep track of, of a target that has `now` of them.
    pub fn threads(self, now: u32) -> u32 {
        match self.memory {
            Memory::AsItGrows => THREADS,
            Memory::UpFront => now.saturating_mul(2).clamp(THREADS_UP_FRONT, THREADS),
        }
    }

    /// What a user should know, one sentence each.
    pub fn notes(self) -> Vec<String> {
        match self.memory {
            Memory::AsItGrows => Vec::new(),
            Memory::UpFront => vec![format!(
                "this kernel (before Linux 6.1) takes the memory for live blocks at the start: 90 MB \
                 for {ENTRIES_UP_FRONT} of them; --max-live changes that number"
            )],
        }
    }
}

/// The tracepoints exist on x86 only. (aarch64 has the names in some kernels, and never fires them.)
fn faults(sysfs: &Path) -> FaultEvents {
    let exist = ["kernel/tracing", "kernel/debug/tracing"]
        .iter()
        .any(|place| {
            let events = sysfs.join(place).join("events/exceptions");
            events.join("page_fault_user").exists() && events.join("page_fault_kernel").exists()
        });
    if exist && cfg!(target_arch = "x86_64") {
        FaultEvents::Tracepoints
    } else {
        FaultEvents::Perf
    }
}

/// Whether BTF data has a type, function or member of this name.
///
/// Layout: `struct btf_header`, include/uapi/linux/btf.h; the string section holds each name once,
/// ended by a zero.
fn has_name(btf: &[u8], name: &str) -> anyhow::Result<bool> {
    const MAGIC: u16 = 0xeb9f;
    const HEADER_LENGTH: usize = 4;
    const STRINGS_OFFSET: usize = 16;
    const STRINGS_LENGTH: usize = 20;
    let magic = btf.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
    ensure!(magic == Some(MAGIC), "it does not begin as BTF does");
    let number = |at: usize| -> anyhow::Result<usize> {
        let bytes = btf.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.context("its header is cut off")?;
        Ok(u32::from_ne_bytes(bytes) as usize)
    };
    let start = number(HEADER_LENGTH)? + number(STRINGS_OFFSET)?;
    let strings = btf
        .get(start..start + number(STRINGS_LENGTH)?)
        .context("its strings are cut off")?;
    Ok(strings
        .split(|&byte| byte == 0)
        .any(|string| string == name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Sizes;

    fn btf(strings: &str) -> Vec<u8> {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        // Header length; offset and length of the types, then of the strings.
        for number in [24, 0, 8, 8, strings.len() as u32] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend([0; 8]);
        bytes.extend(strings.as_bytes());
        bytes
    }

    #[test]
    fn a_name_is_found_only_whole() {
        let types = btf("\0task_struct\0bpf_mem_alloc\0pid\0");
        assert!(has_name(&types, "bpf_mem_alloc").unwrap());
        assert!(has_name(&types, "pid").unwrap());
        assert!(!has_name(&types, "bpf_mem").unwrap());
        assert!(!has_name(&types, "mem_alloc").unwrap());
    }

    #[test]
    fn damaged_type_information_is_an_error() {
        let whole = btf("\0task_struct\0");
        assert!(has_name(&whole[..1], "pid").is_err());
        assert!(has_name(&whole[..20], "pid").is_err());
        assert!(has_name(&whole[..whole.len() - 1], "pid").is_err());
        assert!(has_name(b"no BTF at all, but long enough for one", "pid").is_err());
    }

    #[test]
    fn where_memory_is_taken_up_front_less_of_it_is() {
        let up_front = Kernel {
            memory: Memory::UpFront,
            faults: FaultEvents::Perf,
        };
        assert_eq!(up_front.entries(None), 1_000_000);
        assert_eq!(up_front.entries(Some(7)), 7);
        assert_eq!(up_front.threads(10), 2048);
        assert_eq!(up_front.threads(3000), 6000);
        assert_eq!(up_front.threads(u32::MAX), 1 << 16);
        assert!(up_front.notes()[0].contains("--max-live"));
    }

    /// Maps have as many buckets as the next power of two, 16 bytes each.
    #[test]
    fn vacant_entries_take_no_buckets() {
        for entries in [ENTRIES, ENTRIES_UP_FRONT] {
            let all = entries + Sizes::vacant(entries);
            assert_eq!(all.next_power_of_two(), entries.next_power_of_two());
        }
    }

    #[test]
    fn this_kernel_answers() {
        let kernel = Kernel::probe(Path::new("/sys")).unwrap();
        assert!(kernel.entries(None) >= 1_000_000);
    }
}
