//! Unwind tables of ELF files: for every instruction, how to get from its frame to the caller's.
//!
//! The rows and what they mean are `unfreed_common::unwind`'s; here they are made of what compilers
//! and assemblers leave for exceptions and debuggers, `.eh_frame` and `.debug_frame` (DWARF 5,
//! section 6.4; Linux Standard Base Core 5.0, section 10.6), and of Go's table of functions. Files are
//! not trusted: the time and memory spent on one are bounded by its size and by [`unfreed_common::unwind::MAX_ROWS`].

mod aarch64;
pub mod cache;
mod elf;
mod entries;
mod expression;
mod gaps;
mod go;
mod layout;
mod musl_start;
pub mod parallel;
mod program;
#[cfg(test)]
mod tests;
mod x86_64;

use gimli::{BaseAddresses, DebugFrame, EhFrame, LittleEndian, Vendor};
use unfreed_common::unwind::Row;

use elf::{Elf, Machine};
use layout::Layout;

/// How to leave each function of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Sorted by address, the first at 0; neighbours differ. Where nothing is known, and behind the
    /// last function, there are rows with `Rule::NONE`. At most [`unfreed_common::unwind::MAX_ROWS`].
    pub rows: Vec<Row>,
    /// The virtual address that rows count from: what is executable begins there.
    pub base: u64,
    /// Whether the file describes any function. If not, there is only what is known without.
    pub described: bool,
}

/// Why there is no table for a file. Each is a fact about the file, so asking again is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTable {
    /// A script, a 32-bit program, no program at all.
    #[error("not a 64-bit little-endian ELF file")]
    NotElf64,
    /// `e_machine` of something else.
    #[error("code for a machine that is not supported (ELF machine {0})")]
    Machine(u16),
    /// What is named does not make sense.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// There is no code, or nothing describes it.
    #[error("neither its .eh_frame nor its .debug_frame says anything about its code")]
    Nothing,
    /// More rows than [`unfreed_common::unwind::MAX_ROWS`], or code that is not within 4 GiB.
    #[error("larger than unwind tables can be")]
    TooLarge,
}

impl Table {
    /// From a file's content, or from the vDSO's in memory.
    pub fn of_elf(bytes: &[u8]) -> Result<Self, NoTable> {
        Self::of_elf_and_debug_file(bytes, None)
    }

    /// As [`Table::of_elf`], with the content of the file that `bytes`' debug information was moved
    /// to: it may describe functions that the file itself does not.
    pub fn of_elf_and_debug_file(bytes: &[u8], debug: Option<&[u8]>) -> Result<Self, NoTable> {
        let elf = Elf::parse(bytes)?;
        let mut layout = Layout::of(&elf)?;
        if let Some(section) = elf.eh_frame() {
            let mut frames = EhFrame::new(&section.bytes, LittleEndian);
            frames.set_address_size(8);
            frames.set_vendor(vendor(elf.machine));
            let bases = BaseAddresses::default().set_eh_frame(section.address);
            entries::read(
                &frames,
                &bases,
                &section.bytes,
                section.terminated,
                elf.machine,
                &mut layout,
            )?;
            layout.settle();
        }
        // Before .debug_frame, which knows less of Go's functions.
        go::read(&elf, &mut layout)?;
        let debug = debug.and_then(|bytes| Elf::parse(bytes).ok());
        let debug = debug.filter(|debug| debug.machine == elf.machine);
        for elf in [Some(&elf), debug.as_ref()].into_iter().flatten() {
            if let Some(section) = elf.debug_frame() {
                let mut frames = DebugFrame::new(&section.bytes, LittleEndian);
                frames.set_address_size(8);
                frames.set_vendor(vendor(elf.machine));
                let bases = BaseAddresses::default();
                entries::read(
                    &frames,
                    &bases,
                    &section.bytes,
                    section.terminated,
                    elf.machine,
                    &mut layout,
                )?;
                layout.settle();
            }
        }
        let described = !layout.is_empty();
        gaps::fill(&elf, &mut layout)?;
        Ok(Self {
            described,
            ..layout.into_table()?
        })
    }
}

fn vendor(machine: Machine) -> Vendor {
    match machine {
        Machine::X86_64 => Vendor::Default,
        Machine::Aarch64 => Vendor::AArch64,
    }
}
