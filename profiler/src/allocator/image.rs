//! One ELF file: its segments, its symbols, and its code as `site` reads it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use object::Endianness;
use object::elf::{self, FileHeader64, Rela64, Sym64};
use object::read::elf::{
    Dyn, FileHeader, ProgramHeader, Rela, SectionHeader, SectionTable, Sym, SymbolTable,
};

use super::PlanError;
use super::frames::Frames;
use crate::site::{Code, Place};

/// The instruction sets this tool runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Symbols and code can be read.
    X86_64,
    /// Only symbols can be read.
    Aarch64,
}

/// A function that a symbol defines.
#[derive(Debug, Clone, Copy)]
pub struct Defined<'data> {
    /// As in the symbol table, without a version.
    pub name: &'data [u8],
    /// Virtual address as linked, in an executable segment.
    pub address: u64,
    /// In bytes; 0: not known.
    pub size: u64,
}

type Header = FileHeader64<Endianness>;

/// More segments than any linker writes; what comes after these is not looked at.
const MAX_SEGMENTS: usize = 128;

/// No name of interest is longer, and a name without an end must not be looked for to the end of
/// the file once for each symbol.
const MAX_NAME: usize = 256;

/// A part of the file that is loaded.
struct Segment<'data> {
    address: u64,
    offset: u64,
    bytes: &'data [u8],
    executable: bool,
}

impl<'data> Segment<'data> {
    fn from(&self, address: u64) -> Option<&'data [u8]> {
        self.bytes
            .get(usize::try_from(address.checked_sub(self.address)?).ok()?..)
    }
}

/// A symbol table and the strings of its names.
struct Symbols<'data> {
    table: SymbolTable<'data, Header>,
    strings: &'data [u8],
}

/// A parsed file. All offsets and sizes in it are untrusted.
pub struct Image<'data> {
    data: &'data [u8],
    endian: Endianness,
    header: &'data Header,
    segments: Vec<Segment<'data>>,
    sections: SectionTable<'data, Header>,
    /// .symtab and .dynsym.
    symbols: [Symbols<'data>; 2],
    /// What instruction set it is for.
    pub machine: Machine,
    frames: Option<Frames<'data>>,
    /// Addresses and sizes of all functions, sorted: for code without unwind information.
    sizes: OnceCell<Vec<(u64, u64)>>,
    /// GOT slots that the dynamic linker fills, with their symbol's index in .dynsym.
    slots: OnceCell<HashMap<u64, u32>>,
}

impl<'data> Image<'data> {
    /// Reads headers only.
    pub fn parse(data: &'data [u8]) -> Result<Self, PlanError> {
        let header = Header::parse(data).map_err(|_| PlanError::NotElf)?;
        let endian = header.endian()?;
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            other => return Err(PlanError::Machine(other)),
        };
        let headers = header.program_headers(endian, data)?;
        let segments = headers
            .iter()
            .filter(|it| it.p_type(endian) == elf::PT_LOAD)
            .take(MAX_SEGMENTS)
            .filter_map(|it| {
                Some(Segment {
                    address: it.p_vaddr(endian),
                    offset: it.p_offset(endian),
                    bytes: it.data(endian, data).ok()?,
                    executable: it.p_flags(endian) & elf::PF_X != 0,
                })
            });
        let sections = header.sections(endian, data)?;
        let symbols = |kind| -> Result<Symbols<'data>, PlanError> {
            let table = sections.symbols(endian, data, kind)?;
            let strings = sections.section(table.string_section());
            let strings = strings
                .and_then(|it| it.data(endian, data))
                .unwrap_or_default();
            Ok(Symbols { table, strings })
        };
        let mut image = Self {
            data,
            endian,
            header,
            segments: segments.collect(),
            symbols: [symbols(elf::SHT_SYMTAB)?, symbols(elf::SHT_DYNSYM)?],
            sections,
            machine,
            frames: None,
            sizes: OnceCell::new(),
            slots: OnceCell::new(),
        };
        let header = headers
            .iter()
            .find(|it| it.p_type(endian) == elf::PT_GNU_EH_FRAME);
        let section = image
            .sections
            .section_by_name(endian, b".eh_frame")
            .map(|(_, it)| {
                let start = it.sh_addr(endian);
                start..start.saturating_add(it.sh_size(endian))
            });
        image.frames = Frames::parse(&image, header.map(|it| it.p_vaddr(endian)), section);
        Ok(image)
    }

    /// Every function that either symbol table defines; one that both define comes twice. Names
    /// too long to be of interest are left out.
    pub fn functions(&self) -> impl Iterator<Item = Defined<'data>> {
        self.symbols.iter().flat_map(|symbols| {
            symbols
                .table
                .iter()
                .filter_map(|symbol| self.defined(symbols, symbol))
        })
    }

    fn defined(
        &self,
        symbols: &Symbols<'data>,
        symbol: &Sym64<Endianness>,
    ) -> Option<Defined<'data>> {
        if symbol.st_type() != elf::STT_FUNC || symbol.is_undefined(self.endian) {
            return None;
        }
        Some(Defined {
            name: self.name(symbols, symbol)?,
            address: symbol.st_value(self.endian),
            size: symbol.st_size(self.endian),
        })
    }

    fn name(&self, symbols: &Symbols<'data>, symbol: &Sym64<Endianness>) -> Option<&'data [u8]> {
        let rest = symbols
            .strings
            .get(symbol.st_name(self.endian) as usize..)?;
        let rest = &rest[..rest.len().min(MAX_NAME)];
        // Some linkers keep `name@@VERSION` in .symtab.
        let end = rest.iter().position(|byte| matches!(byte, 0 | b'@'))?;
        Some(&rest[..end])
    }

    /// The file offset of a virtual address in an executable segment.
    pub fn offset(&self, address: u64) -> Option<u64> {
        let segment = self.segment(address, true)?;
        (address - segment.address).checked_add(segment.offset)
    }

    /// The bytes from a virtual address to the end of the file's part of its segment.
    pub fn mapped(&self, address: u64) -> Option<&'data [u8]> {
        self.segment(address, false)?.from(address)
    }

    fn segment(&self, address: u64, executable: bool) -> Option<&Segment<'data>> {
        self.segments.iter().find(|it| {
            (it.executable || !executable)
                && address >= it.address
                && address - it.address < it.bytes.len() as u64
        })
    }

    /// Whether it is a program with nothing to load beside it and no function symbol of its own.
    pub fn is_stripped_static(&self) -> bool {
        let headers = self
            .header
            .program_headers(self.endian, self.data)
            .unwrap_or_default();
        let kind = |wanted| headers.iter().find(|it| it.p_type(self.endian) == wanted);
        let mut pie = kind(elf::PT_INTERP).is_some();
        let dynamic =
            kind(elf::PT_DYNAMIC).and_then(|it| it.dynamic(self.endian, self.data).ok()?);
        for entry in dynamic.unwrap_or_default() {
            let (tag, value) = (entry.d_tag(self.endian), entry.d_val(self.endian));
            if tag == u64::from(elf::DT_NEEDED) {
                return false;
            }
            pie |= tag == u64::from(elf::DT_FLAGS_1) && value & u64::from(elf::DF_1_PIE) != 0;
        }
        let program = match self.header.e_type(self.endian) {
            elf::ET_EXEC => true,
            elf::ET_DYN => pie,
            _ => false,
        };
        program && self.functions().next().is_none()
    }

    fn read_sizes(&self) -> Vec<(u64, u64)> {
        let sized = self.functions().filter(|it| it.size > 0);
        let mut sizes: Vec<_> = sized.map(|it| (it.address, it.size)).collect();
        sizes.sort_unstable();
        sizes
    }

    fn read_slots(&self) -> HashMap<u64, u32> {
        let dynamic = self.symbols[1].table.section();
        let mut slots = HashMap::new();
        // Sections that overlap are no reason to read the file over and over.
        let mut budget = self.data.len() / size_of::<Rela64<Endianness>>();
        for section in self.sections.iter() {
            let Ok(Some((relocations, link))) = section.rela(self.endian, self.data) else {
                continue;
            };
            if link != dynamic || relocations.len() > budget {
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

impl Code for Image<'_> {
    fn bytes(&self, address: u64) -> &[u8] {
        self.segment(address, true)
            .and_then(|it| it.from(address))
            .unwrap_or_default()
    }

    fn extent(&self, address: u64) -> Option<Range<u64>> {
        let frame = self
            .frames
            .as_ref()
            .and_then(|frames| frames.extent(address));
        frame.or_else(|| {
            let sizes = self.sizes.get_or_init(|| self.read_sizes());
            let after = sizes.partition_point(|(start, _)| *start <= address);
            let (start, size) = *sizes.get(after.checked_sub(1)?)?;
            Some(start..start.checked_add(size)?).filter(|extent| extent.contains(&address))
        })
    }

    fn handlers(&self, address: u64) -> Vec<u64> {
        self.frames
            .as_ref()
            .map_or_else(Vec::new, |frames| frames.handlers(self, address))
    }

    fn slot(&self, address: u64) -> Option<Place> {
        let index = *self.slots.get_or_init(|| self.read_slots()).get(&address)?;
        let symbols = &self.symbols[1];
        let symbol = symbols
            .table
            .symbol(object::SymbolIndex(index as usize))
            .ok()?;
        if symbol.is_undefined(self.endian) {
            let name = self.name(symbols, symbol)?;
            return Some(Place::Elsewhere(String::from_utf8_lossy(name).into_owned()));
        }
        Some(Place::Here(symbol.st_value(self.endian)))
    }
}
