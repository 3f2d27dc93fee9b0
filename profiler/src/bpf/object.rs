//! The compiled eBPF object, and the one thing in it that depends on the kernel.

use std::borrow::Cow;

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::load::LoadError;

/// The compiled eBPF programs.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/unfreed-ebpf"));

/// The maps that grow while a recording goes on.
const GROWING: [&str; 3] = ["LIVE", "THREADS", "TOUCHES"];

/// `BPF_F_NO_PREALLOC`, include/uapi/linux/bpf.h.
const NO_PREALLOC: u32 = 1;

/// `map_flags` is the fifth word of a map's definition: type, key size, value size, entries, flags.
const FLAGS: usize = 16;

/// When the maps of live blocks and of threads take their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Entry by entry.
    AsItGrows,
    /// All at once, when they are created.
    UpFront,
}

/// The object for a kernel that wants its maps' memory like this.
pub(super) fn object(memory: Memory) -> Result<Cow<'static, [u8]>, LoadError> {
    match memory {
        Memory::AsItGrows => Ok(Cow::Borrowed(OBJECT)),
        Memory::UpFront => up_front(OBJECT).map(Cow::Owned),
    }
}

/// `elf` with that flag of the growing maps cleared.
fn up_front(elf: &[u8]) -> Result<Vec<u8>, LoadError> {
    let missing = |what: &str| LoadError::Missing(what.to_owned());
    let file = ElfFile::<FileHeader64<object::Endianness>>::parse(elf)
        .map_err(|_| missing("ELF header"))?;
    let mut patched = elf.to_vec();
    for name in GROWING {
        let symbol = file.symbol_by_name(name).ok_or_else(|| missing(name))?;
        let section = symbol
            .section_index()
            .and_then(|index| file.section_by_index(index).ok());
        let (start, _) = section
            .and_then(|section| section.file_range())
            .ok_or_else(|| missing(name))?;
        let at = (start + symbol.address()) as usize + FLAGS;
        let flags = patched.get_mut(at..at + 4).ok_or_else(|| missing(name))?;
        if flags != NO_PREALLOC.to_le_bytes() {
            return Err(missing(name));
        }
        flags.fill(0);
    }
    Ok(patched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_cleared_and_nothing_else() {
        let patched = up_front(OBJECT).unwrap();
        let changed = OBJECT.iter().zip(&patched).filter(|(a, b)| a != b);
        assert_eq!(changed.collect::<Vec<_>>(), [(&1, &0); 3]);
        assert_eq!(OBJECT.len(), patched.len());
        // Done already: the flags are not what they have to be.
        assert!(up_front(&patched).is_err());
    }
}
