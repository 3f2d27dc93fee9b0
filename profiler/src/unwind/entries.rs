//! The entries of `.eh_frame` or `.debug_frame`: each function's rows.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, CommonInformationEntry, EndianSlice, FrameDescriptionEntry, LittleEndian,
    Reader as _, UnwindOffset, UnwindSection,
};
use unfreed_common::unwind::Rule;

use super::elf::Machine;
use super::expression::Expressions;
use super::layout::Layout;
use super::program::{self, Common, State};
use super::{NoTable, aarch64, x86_64};

/// How sections are read.
pub type Bytes<'data> = EndianSlice<'data, LittleEndian>;

/// Larger common entries than this are not looked at. Real ones have tens of bytes.
const MAX_COMMON_BYTES: usize = 1 << 12;

/// Common entries that are kept at a time. `.eh_frame` has a handful, `.debug_frame` one for each
/// object file, followed by the functions that refer to it.
const MAX_KEPT: usize = 1 << 12;

/// Longer sections are not read: three times what there are rows for.
const MAX_SECTION: usize = 128 << 20;

/// Adds every function that the section `bytes` describes to `layout`. Entries that do not make sense
/// are left out. `terminated`: an entry of no length is the end.
pub fn read<'data, S: UnwindSection<Bytes<'data>>>(
    section: &S,
    bases: &BaseAddresses,
    bytes: &'data [u8],
    terminated: bool,
    machine: Machine,
    layout: &mut Layout,
) -> Result<(), NoTable> {
    let mut entries = Entries {
        section,
        bases,
        bytes,
        machine,
        kinds: HashMap::new(),
        // Every function may refer to another common entry, and all of these may be the same bytes.
        budget: bytes.len().saturating_mul(4),
    };
    let mut at = 0;
    while let Some(extent) = Extent::read(bytes, at) {
        if extent.is_empty && terminated {
            break;
        }
        if extent.end > MAX_SECTION {
            return Err(NoTable::TooLarge);
        }
        if !extent.is_empty
            && let Some(entry) = entries.function(at)
        {
            entries.add(&entry, layout)?;
        }
        at = extent.end;
    }
    Ok(())
}

/// Where an entry ends, behind its beginning.
struct Extent {
    end: usize,
    is_empty: bool,
}

impl Extent {
    /// `None` at the section's end, and where the rest cannot be made sense of.
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let mut rest = EndianSlice::new(bytes.get(at..)?, LittleEndian);
        let (length, _) = rest.read_initial_length().ok()?;
        (length <= rest.len()).then(|| Self {
            end: bytes.len() - rest.len() + length,
            is_empty: length == 0,
        })
    }
}

/// A common entry, and what it comes to.
type Kind<'data> = (CommonInformationEntry<Bytes<'data>>, Common);

struct Entries<'of, 'data, S> {
    section: &'of S,
    bases: &'of BaseAddresses,
    bytes: &'data [u8],
    machine: Machine,
    /// By their offset; `None` for what makes no sense.
    kinds: HashMap<usize, Option<Kind<'data>>>,
    /// How many more bytes of common entries may be looked at.
    budget: usize,
}

impl<'data, S: UnwindSection<Bytes<'data>>> Entries<'_, 'data, S> {
    /// The entry at this offset, if it is a function's.
    fn function(&mut self, at: usize) -> Option<(FrameDescriptionEntry<Bytes<'data>>, Common)> {
        let partial = self
            .section
            .partial_fde_from_offset(self.bases, at.into())
            .ok()?;
        let (kind, common) = self.kind(UnwindOffset::into(partial.cie_offset()))?.clone();
        let entry = partial.parse(|_, _, _| Ok(kind.clone())).ok()?;
        Some((entry, common))
    }

    fn kind(&mut self, at: usize) -> Option<&Kind<'data>> {
        if !self.kinds.contains_key(&at) {
            let size = Extent::read(self.bytes, at).map_or(0, |it| it.end - at);
            let affordable = size <= MAX_COMMON_BYTES && size <= self.budget;
            let kind = affordable.then(|| self.read_kind(at)).flatten();
            self.budget = self.budget.saturating_sub(size.min(MAX_COMMON_BYTES));
            if self.kinds.len() == MAX_KEPT {
                self.kinds.clear();
            }
            self.kinds.insert(at, kind);
        }
        self.kinds.get(&at)?.as_ref()
    }

    fn read_kind(&self, at: usize) -> Option<Kind<'data>> {
        let entry = self.section.cie_from_offset(self.bases, at.into()).ok()?;
        let (return_address, frame_pointer) = match self.machine {
            Machine::X86_64 => (x86_64::RETURN_ADDRESS, x86_64::FRAME_POINTER),
            Machine::Aarch64 => (aarch64::RETURN_ADDRESS, aarch64::FRAME_POINTER),
        };
        let mut common = Common {
            is_usual: entry.return_address_register() == return_address,
            code_alignment: entry.code_alignment_factor(),
            data_alignment: entry.data_alignment_factor(),
            return_address,
            frame_pointer,
            is_signal_frame: entry.is_signal_trampoline(),
            initial: State::START,
        };
        let instructions = entry.instructions(self.section, self.bases);
        common.initial = program::initial(instructions, &common).ok()?;
        Some((entry, common))
    }

    fn add(
        &self,
        (entry, common): &(FrameDescriptionEntry<Bytes<'data>>, Common),
        layout: &mut Layout,
    ) -> Result<(), NoTable> {
        let start = entry.initial_address();
        let Some(place) = layout.place(start, entry.len()) else {
            return Ok(());
        };
        if !common.is_usual {
            return layout.add(place, |rows| rows.push(0, Rule::UNSUPPORTED));
        }
        let expressions = Expressions {
            section: self.section,
            encoding: entry.cie().encoding(),
        };
        let instructions = entry.instructions(self.section, self.bases);
        layout.add(place, |rows| {
            program::run(instructions, common, start, |address, state| {
                let rule = match (state, self.machine) {
                    (None, _) => Rule::UNSUPPORTED,
                    (Some(state), Machine::X86_64) => x86_64::rule(state, common, &expressions),
                    (Some(state), Machine::Aarch64) => aarch64::rule(state, common),
                };
                rows.push(address - start, rule);
            });
        })
    }
}
