//! One ELF file: its segments, its symbols, and its code as `site` reads it.

use std::ops::Range;

use object::elf::{self, FileHeader64, SectionHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, SectionIndex};

use super::PlanError;
use super::frames::Frames;
use super::symbols::Symbols;
use crate::site::{Code, Place};

/// The instruction sets this tool runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Symbols and code can be read.
    X86_64,
    /// Only symbols can be read.
    Aarch64,
}

type Header = FileHeader64<Endianness>;

/// More segments than any linker writes; what comes after these is not looked at.
const MAX_SEGMENTS: usize = 128;

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

/// A parsed file. All offsets and sizes in it are untrusted.
pub struct Image<'data> {
    data: &'data [u8],
    endian: Endianness,
    header: &'data Header,
    segments: Vec<Segment<'data>>,
    /// What is named in it.
    pub symbols: Symbols<'data>,
    /// What instruction set it is for.
    pub machine: Machine,
    frames: Option<Frames<'data>>,
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
        let mut image = Self {
            data,
            endian,
            header,
            segments: segments.collect(),
            symbols: Symbols::parse(data, endian, sections)?,
            machine,
            frames: None,
        };
        let searchable = headers
            .iter()
            .find(|it| it.p_type(endian) == elf::PT_GNU_EH_FRAME)
            .map(|it| it.p_vaddr(endian));
        // Not `section_by_name`, which looks for the end of each name, wherever that is.
        let strings = header.shstrndx(endian, data)?;
        let strings = sections
            .section(SectionIndex(strings as usize))
            .and_then(|it| it.data(endian, data))
            .unwrap_or_default();
        let is_frames = |section: &&SectionHeader64<Endianness>| {
            let name = strings.get(section.sh_name(endian) as usize..);
            name.is_some_and(|name| name.starts_with(b".eh_frame\0"))
        };
        let section = sections.iter().find(is_frames).map(|it| {
            let start = it.sh_addr(endian);
            start..start.saturating_add(it.sh_size(endian))
        });
        image.frames = Frames::parse(&image, searchable, section);
        Ok(image)
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
        program && self.symbols.functions().next().is_none()
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
        frame.or_else(|| self.symbols.extent(address))
    }

    fn handlers(&self, address: u64) -> Vec<u64> {
        self.frames
            .as_ref()
            .map_or_else(Vec::new, |frames| frames.handlers(self, address))
    }

    fn slot(&self, address: u64) -> Option<Place> {
        self.symbols.slot(address)
    }
}
