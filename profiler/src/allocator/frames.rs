//! Unwind information: where functions begin and end, and where their exception handlers are.
//! It is there in stripped files too, unlike symbols.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use gimli::{
    BaseAddresses, CieOrFde, EhFrame, EhFrameHdr, EhFrameOffset, EndianSlice,
    FrameDescriptionEntry, LittleEndian, ParsedEhFrameHdr, Pointer, Reader, UnwindSection,
};

use super::image::Image;

type Bytes<'data> = EndianSlice<'data, LittleEndian>;
type Entry<'data> = FrameDescriptionEntry<Bytes<'data>>;

/// More handlers than any function has that a compiler wrote.
const MAX_HANDLERS: usize = 1 << 12;

/// More kinds of entries than linkers leave, which merge equal ones.
const MAX_KINDS: usize = 1 << 10;

/// The entries of `.eh_frame` and a way to find the one for an address.
pub struct Frames<'data> {
    /// The search table in `.eh_frame_hdr`. Programs that GCC links statically have none.
    header: Option<ParsedEhFrameHdr<Bytes<'data>>>,
    /// Made in its place, when first asked: first address and place of each entry, sorted.
    index: OnceCell<Vec<(u64, EhFrameOffset)>>,
    entries: EhFrame<Bytes<'data>>,
    /// Virtual address of the entries.
    start: u64,
    bases: BaseAddresses,
}

impl<'data> Frames<'data> {
    /// The virtual addresses of `.eh_frame_hdr`, and of `.eh_frame` with its size, where there are
    /// such. `None` where neither can be used.
    pub fn parse(
        image: &Image<'data>,
        header: Option<u64>,
        entries: Option<Range<u64>>,
    ) -> Option<Self> {
        let bases = BaseAddresses::default();
        let searched = header.and_then(|header| {
            let bases = bases.clone().set_eh_frame_hdr(header);
            let bytes = image.mapped(header)?;
            let parsed = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8).ok()?;
            let Pointer::Direct(start) = parsed.eh_frame_ptr() else {
                return None;
            };
            parsed.table()?;
            let entries = EhFrame::new(image.mapped(start)?, LittleEndian);
            let bases = bases.set_eh_frame(start);
            Some(Self {
                header: Some(parsed),
                index: OnceCell::new(),
                entries,
                start,
                bases,
            })
        });
        searched.or_else(|| {
            let Range { start, end } = entries?;
            let bytes = image.mapped(start)?;
            let size = usize::try_from(end.checked_sub(start)?).ok()?;
            let entries = EhFrame::new(bytes.get(..size)?, LittleEndian);
            let bases = bases.set_eh_frame(start);
            Some(Self {
                header: None,
                index: OnceCell::new(),
                entries,
                start,
                bases,
            })
        })
    }

    fn entry(&self, address: u64) -> Option<Entry<'data>> {
        let read = |section: &EhFrame<_>, bases: &BaseAddresses, offset| {
            section.cie_from_offset(bases, offset)
        };
        let place = if let Some(header) = &self.header {
            // Not `fde_for_address`: its subtraction overflows on a damaged table (gimli 0.32.3).
            match header.table()?.lookup(address, &self.bases).ok()? {
                Pointer::Direct(entry) => self.place(entry)?,
                Pointer::Indirect(_) => return None,
            }
        } else {
            let index = self.index.get_or_init(|| self.read_index());
            let after = index.partition_point(|(start, _)| *start <= address);
            index.get(after.checked_sub(1)?)?.1
        };
        let entry = self
            .entries
            .fde_from_offset(&self.bases, place, read)
            .ok()?;
        entry.contains(address).then_some(entry)
    }

    /// Of an entry, from its address.
    fn place(&self, entry: u64) -> Option<EhFrameOffset> {
        let offset = entry.checked_sub(self.start)?;
        Some(EhFrameOffset(usize::try_from(offset).ok()?))
    }

    fn read_index(&self) -> Vec<(u64, EhFrameOffset)> {
        let mut kinds = HashMap::new();
        let mut index = Vec::new();
        let mut entries = self.entries.entries(&self.bases);
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(entry) = entry else {
                continue;
            };
            let parsed = entry.parse(|section, bases, offset: EhFrameOffset| {
                if kinds.len() > MAX_KINDS {
                    return Err(gimli::Error::NoEntryAtGivenOffset);
                }
                let kind = kinds.entry(offset.0);
                kind.or_insert_with(|| section.cie_from_offset(bases, offset))
                    .clone()
            });
            if let Ok(parsed) = parsed {
                index.push((parsed.initial_address(), EhFrameOffset(parsed.offset())));
            }
        }
        index.sort_unstable_by_key(|(start, _)| *start);
        index
    }

    /// The addresses of the function, or part of one, around `address`.
    pub fn extent(&self, address: u64) -> Option<Range<u64>> {
        let entry = self.entry(address)?;
        let start = entry.initial_address();
        Some(start..start.checked_add(entry.len())?)
    }

    /// Landing pads of the function around `address`. What is written in a way that GCC and clang
    /// do not use for C++ counts as none.
    pub fn handlers(&self, image: &Image<'data>, address: u64) -> Vec<u64> {
        let found = self.entry(address).and_then(|entry| {
            let Pointer::Direct(table) = entry.lsda()? else {
                return None;
            };
            let table = EndianSlice::new(image.mapped(table)?, LittleEndian);
            landing_pads(table, entry.initial_address())
        });
        found.unwrap_or_default()
    }
}

/// Reads the call-site table of a language-specific data area ("Itanium C++ ABI: Exception
/// Handling", and what GCC writes: `output_function_exception_table`).
fn landing_pads(mut table: Bytes<'_>, function: u64) -> Option<Vec<u64>> {
    const OMITTED: u8 = gimli::DW_EH_PE_omit.0;
    if table.read_u8().ok()? != OMITTED {
        return None;
    }
    if table.read_u8().ok()? != OMITTED {
        table.read_uleb128().ok()?;
    }
    let encoding = gimli::DwEhPe(table.read_u8().ok()?);
    let length = usize::try_from(table.read_uleb128().ok()?).ok()?;
    let mut sites = table.split(length).ok()?;
    let mut pads = Vec::new();
    while !sites.is_empty() && pads.len() < MAX_HANDLERS {
        let mut fields = [0; 3];
        for field in &mut fields {
            *field = match encoding {
                gimli::DW_EH_PE_uleb128 => sites.read_uleb128().ok()?,
                gimli::DW_EH_PE_udata4 => u64::from(sites.read_u32().ok()?),
                _ => return None,
            };
        }
        sites.read_uleb128().ok()?;
        let [_start, _length, pad] = fields;
        if pad != 0 {
            pads.push(function.checked_add(pad)?);
        }
    }
    Some(pads)
}
