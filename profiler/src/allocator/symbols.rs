//! The symbols of an ELF file, and the GOT slots through which code uses them.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use object::Endianness;
use object::elf::{self, FileHeader64, Rela64, Sym64};
use object::read::elf::{Rela, SectionHeader, SectionTable, Sym, SymbolTable};

use super::PlanError;
use crate::site::Place;

type Header = FileHeader64<Endianness>;

/// No name of interest is longer, and a name without an end must not be looked for to the end of
/// the file once for each symbol.
const MAX_NAME: usize = 256;

/// A function that a symbol defines.
#[derive(Debug, Clone, Copy)]
pub struct Defined<'data> {
    /// As in the symbol table, without a version.
    pub name: &'data [u8],
    /// Virtual address as linked.
    pub address: u64,
}

struct Table<'data> {
    table: SymbolTable<'data, Header>,
    strings: &'data [u8],
}

/// .symtab and .dynsym, either of which may be missing.
pub struct Symbols<'data> {
    data: &'data [u8],
    endian: Endianness,
    sections: SectionTable<'data, Header>,
    all: Table<'data>,
    dynamic: Table<'data>,
    /// Addresses and sizes of all functions, sorted.
    sizes: OnceCell<Vec<(u64, u64)>>,
    /// Slots that the dynamic linker fills, with their symbol's index in .dynsym.
    slots: OnceCell<HashMap<u64, u32>>,
}

impl<'data> Symbols<'data> {
    /// Reads headers only.
    pub fn parse(
        data: &'data [u8],
        endian: Endianness,
        sections: SectionTable<'data, Header>,
    ) -> Result<Self, PlanError> {
        let table = |kind| -> Result<Table<'data>, PlanError> {
            let table = sections.symbols(endian, data, kind)?;
            let strings = sections.section(table.string_section());
            let strings = strings
                .and_then(|it| it.data(endian, data))
                .unwrap_or_default();
            Ok(Table { table, strings })
        };
        let (all, dynamic) = (table(elf::SHT_SYMTAB)?, table(elf::SHT_DYNSYM)?);
        let (sizes, slots) = (OnceCell::new(), OnceCell::new());
        Ok(Self {
            data,
            endian,
            sections,
            all,
            dynamic,
            sizes,
            slots,
        })
    }

    /// Every function that either table defines; one that both define comes twice. Names too long
    /// to be of interest are left out.
    pub fn functions(&self) -> impl Iterator<Item = Defined<'data>> {
        [&self.all, &self.dynamic]
            .into_iter()
            .flat_map(move |table| {
                self.defined(table).filter_map(move |symbol| {
                    let address = symbol.st_value(self.endian);
                    Some(Defined {
                        name: self.name(table, symbol)?,
                        address,
                    })
                })
            })
    }

    fn defined(&self, table: &Table<'data>) -> impl Iterator<Item = &'data Sym64<Endianness>> {
        let endian = self.endian;
        let symbols = table.table.symbols().iter();
        symbols.filter(move |it| it.st_type() == elf::STT_FUNC && !it.is_undefined(endian))
    }

    fn name(&self, table: &Table<'data>, symbol: &Sym64<Endianness>) -> Option<&'data [u8]> {
        let rest = table.strings.get(symbol.st_name(self.endian) as usize..)?;
        let rest = &rest[..rest.len().min(MAX_NAME)];
        // Some linkers keep `name@@VERSION` in .symtab.
        let end = rest.iter().position(|byte| matches!(byte, 0 | b'@'))?;
        Some(&rest[..end])
    }

    /// The function around an address, by its symbol's size.
    pub fn extent(&self, address: u64) -> Option<Range<u64>> {
        let sizes = self.sizes.get_or_init(|| self.read_sizes());
        let after = sizes.partition_point(|(start, _)| *start <= address);
        let (start, size) = *sizes.get(after.checked_sub(1)?)?;
        Some(start..start.checked_add(size)?).filter(|extent| extent.contains(&address))
    }

    fn read_sizes(&self) -> Vec<(u64, u64)> {
        let symbols = [&self.all, &self.dynamic]
            .into_iter()
            .flat_map(|it| self.defined(it));
        let mut found: Vec<_> = symbols
            .map(|it| (it.st_value(self.endian), it.st_size(self.endian)))
            .filter(|(_, size)| *size > 0)
            .collect();
        found.sort_unstable();
        found
    }

    /// What the pointer in a GOT slot leads to, as the dynamic linker fills it unless another file
    /// defines the same name before this one.
    pub fn slot(&self, address: u64) -> Option<Place> {
        let index = *self.slots.get_or_init(|| self.read_slots()).get(&address)?;
        let symbol = self
            .dynamic
            .table
            .symbol(object::SymbolIndex(index as usize))
            .ok()?;
        if symbol.is_undefined(self.endian) {
            let name = self.name(&self.dynamic, symbol)?;
            return Some(Place::Elsewhere(String::from_utf8_lossy(name).into_owned()));
        }
        Some(Place::Here(symbol.st_value(self.endian)))
    }

    fn read_slots(&self) -> HashMap<u64, u32> {
        let mut slots = HashMap::new();
        // Sections that overlap are no reason to read the file over and over.
        let mut budget = self.data.len() / size_of::<Rela64<Endianness>>();
        for section in self.sections.iter() {
            let Ok(Some((relocations, link))) = section.rela(self.endian, self.data) else {
                continue;
            };
            if link != self.dynamic.table.section() || relocations.len() > budget {
                continue;
            }
            budget -= relocations.len();
            for relocation in relocations {
                let kind = relocation.r_type(self.endian, false);
                if matches!(kind, elf::R_X86_64_JUMP_SLOT | elf::R_X86_64_GLOB_DAT) {
                    let symbol = relocation.r_sym(self.endian, false);
                    slots.insert(relocation.r_offset(self.endian), symbol);
                }
            }
        }
        slots
    }
}
