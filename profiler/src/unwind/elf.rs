//! One ELF file as far as unwinding is concerned: where its code is, and the sections that describe
//! it. All offsets and sizes in it are untrusted, and only what is needed of it is touched.

use std::borrow::Cow;
use std::ops::Range;

use gimli::{BaseAddresses, EhFrameHdr, LittleEndian, Pointer};
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{
    CompressionHeader as _, FileHeader as _, ProgramHeader as _, SectionHeader as _,
};
use object::read::{CompressedData, CompressionFormat};
use object::{LittleEndian as Little, SectionIndex};

use super::NoTable;

type Header = FileHeader64<Little>;
type Section = SectionHeader64<Little>;

/// More segments than any linker writes; what comes after these is not looked at.
const MAX_SEGMENTS: usize = 128;

/// More notes than any program has. The build id is one of the first.
const MAX_NOTES: usize = 1 << 10;

/// The largest `.debug_frame` that is decompressed. That of Go programs of 100 MB has a tenth of this.
const MAX_DECOMPRESSED: u64 = 64 << 20;

/// The instruction sets whose unwind information is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Also called amd64.
    X86_64,
    /// Also called arm64.
    Aarch64,
}

/// A part of the file that is loaded.
struct Segment<'data> {
    address: u64,
    bytes: &'data [u8],
    executable: bool,
}

/// A section of unwind information.
pub struct Frames<'data> {
    /// Its virtual address; 0 where it is not loaded.
    pub address: u64,
    /// What it holds.
    pub bytes: Cow<'data, [u8]>,
    /// Whether `bytes` may go on behind the section's end: a length of 0 ends it.
    pub terminated: bool,
}

/// A parsed file.
pub struct Elf<'data> {
    data: &'data [u8],
    header: &'data Header,
    segments: Vec<Segment<'data>>,
    /// What instruction set it is for.
    pub machine: Machine,
}

impl<'data> Elf<'data> {
    /// Reads headers only.
    pub fn parse(data: &'data [u8]) -> Result<Self, NoTable> {
        let header = Header::parse(data).map_err(|_| NoTable::NotElf64)?;
        if header.e_ident.data != elf::ELFDATA2LSB {
            return Err(NoTable::NotElf64);
        }
        let machine = match header.e_machine(Little) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            other => return Err(NoTable::Machine(other)),
        };
        let mut parsed = Self {
            data,
            header,
            segments: Vec::new(),
            machine,
        };
        let loaded = parsed
            .program_headers()?
            .iter()
            .filter(|it| it.p_type(Little) == elf::PT_LOAD);
        parsed.segments = loaded
            .take(MAX_SEGMENTS)
            .filter_map(|it| {
                Some(Segment {
                    address: it.p_vaddr(Little),
                    bytes: it.data(Little, data).ok()?,
                    executable: it.p_flags(Little) & elf::PF_X != 0,
                })
            })
            .collect();
        Ok(parsed)
    }

    fn program_headers(&self) -> Result<&'data [ProgramHeader64<Little>], NoTable> {
        self.header
            .program_headers(Little, self.data)
            .map_err(|_| NoTable::Malformed("program headers"))
    }

    /// The whole file.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }

    /// Where the process begins to execute; 0: nowhere, as in most shared libraries.
    pub fn entry(&self) -> u64 {
        self.header.e_entry(Little)
    }

    /// The virtual addresses of what is executable, as far as the file has bytes for it.
    pub fn code(&self) -> impl Iterator<Item = (u64, &'data [u8])> {
        self.segments
            .iter()
            .filter(|it| it.executable)
            .map(|it| (it.address, it.bytes))
    }

    /// The bytes from a virtual address to the end of the file's part of its segment.
    pub fn mapped(&self, address: u64) -> Option<&'data [u8]> {
        let holds =
            |it: &&Segment| address >= it.address && address - it.address < it.bytes.len() as u64;
        let segment = self.segments.iter().find(holds)?;
        let at = usize::try_from(address - segment.address).ok()?;
        segment.bytes.get(at..)
    }

    /// `.eh_frame`, by its section header, or where these were stripped, by the segment of its index.
    pub fn eh_frame(&self) -> Option<Frames<'data>> {
        let section = self.section(b".eh_frame\0").and_then(|it| {
            Some(Frames {
                address: it.sh_addr(Little),
                bytes: Cow::Borrowed(it.data(Little, self.data).ok()?),
                terminated: false,
            })
        });
        section
            .filter(|it| !it.bytes.is_empty())
            .or_else(|| self.indexed_eh_frame())
    }

    fn indexed_eh_frame(&self) -> Option<Frames<'data>> {
        let headers = self.program_headers().ok()?;
        let mut headers = headers.iter();
        let index = headers.find(|it| it.p_type(Little) == elf::PT_GNU_EH_FRAME)?;
        let index = index.p_vaddr(Little);
        let bases = BaseAddresses::default().set_eh_frame_hdr(index);
        let parsed = EhFrameHdr::new(self.mapped(index)?, LittleEndian)
            .parse(&bases, 8)
            .ok()?;
        let Pointer::Direct(address) = parsed.eh_frame_ptr() else {
            return None;
        };
        Some(Frames {
            address,
            bytes: Cow::Borrowed(self.mapped(address)?),
            terminated: true,
        })
    }

    /// `.debug_frame`, decompressed where that is needed.
    pub fn debug_frame(&self) -> Option<Frames<'data>> {
        let section = self.section(b".debug_frame\0")?;
        let compressed = section.compression(Little, self.data).ok()?;
        let bytes = if let Some((header, offset, size)) = compressed {
            let offset = usize::try_from(offset).ok()?;
            let size = usize::try_from(size).ok()?;
            // Not zstd, whose decoder (object 0.37) is not bounded by the size that is announced.
            if header.ch_type(Little) != elf::ELFCOMPRESS_ZLIB
                || header.ch_size(Little) > MAX_DECOMPRESSED
            {
                return None;
            }
            let compressed = CompressedData {
                format: CompressionFormat::Zlib,
                data: self.data.get(offset..offset.checked_add(size)?)?,
                uncompressed_size: header.ch_size(Little),
            };
            compressed.decompress().ok()?
        } else {
            Cow::Borrowed(section.data(Little, self.data).ok()?)
        };
        Some(Frames {
            address: 0,
            bytes,
            terminated: false,
        })
    }

    /// The section of this name, which has to end in the terminating 0.
    fn section(&self, name: &[u8]) -> Option<&'data Section> {
        let sections = self.header.section_headers(Little, self.data).ok()?;
        let names = self.header.shstrndx(Little, self.data).ok()?;
        let names = sections.get(SectionIndex(names as usize).0)?;
        let names = names.data(Little, self.data).ok()?;
        sections.iter().find(|it| {
            let start = names.get(it.sh_name(Little) as usize..);
            start.is_some_and(|start| start.starts_with(name))
        })
    }

    /// The build id: a hash of the content that linkers leave in a note.
    pub fn build_id(&self) -> Option<&'data [u8]> {
        let headers = self.program_headers().ok()?;
        let mut left = MAX_NOTES;
        for mut notes in headers
            .iter()
            .filter_map(|it| it.notes(Little, self.data).ok()?)
        {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == elf::ELF_NOTE_GNU && note.n_type(Little) == elf::NT_GNU_BUILD_ID {
                    return Some(note.desc()).filter(|id| !id.is_empty());
                }
                left = left.checked_sub(1)?;
            }
        }
        None
    }
}

/// The virtual addresses of `bytes` at `address`.
pub fn extent(address: u64, bytes: &[u8]) -> Range<u64> {
    address..address.saturating_add(bytes.len() as u64)
}
