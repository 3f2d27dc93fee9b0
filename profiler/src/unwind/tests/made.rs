//! ELF files made byte by byte, with unwind information as no compiler writes it.

use object::elf;

/// Where the code of made files is, if nothing else is said.
pub const CODE: u64 = 0x40_1000;
/// Where their unwind information is, and the index of that.
const FRAMES: u64 = 0x80_0000;
const INDEX: u64 = 0x7f_0000;

/// `.eh_frame` or `.debug_frame` under construction.
#[derive(Clone)]
pub struct Frames {
    pub bytes: Vec<u8>,
    is_debug: bool,
    common_at: usize,
}

impl Frames {
    pub fn eh() -> Self {
        Self {
            bytes: Vec::new(),
            is_debug: false,
            common_at: 0,
        }
    }

    pub fn debug() -> Self {
        Self {
            is_debug: true,
            ..Self::eh()
        }
    }

    fn entry(&mut self, mut content: Vec<u8>) {
        while content.len() % 8 != 4 {
            content.push(gimli::DW_CFA_nop.0);
        }
        let length = u32::try_from(content.len()).unwrap();
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(content);
    }

    /// What the next functions refer to. `data_alignment` and numbers of registers in one byte.
    pub fn common(&mut self, flags: &str, return_address: u8, instructions: &[u8]) -> &mut Self {
        self.common_at = self.bytes.len();
        let id: u32 = if self.is_debug { u32::MAX } else { 0 };
        let mut content = id.to_le_bytes().to_vec();
        content.push(1);
        if self.is_debug {
            content.push(0);
        } else {
            content.extend(format!("zR{flags}\0").bytes());
        }
        // Factors 1 and -8.
        content.extend([1, 0x78, return_address]);
        if !self.is_debug {
            content.extend([1, (gimli::DW_EH_PE_pcrel | gimli::DW_EH_PE_sdata4).0]);
        }
        content.extend(instructions);
        self.entry(content);
        self
    }

    /// As compilers begin for x86-64: CFA = rsp + 8, return address at CFA - 8.
    pub fn x86_64(&mut self) -> &mut Self {
        self.common("", 16, &[0x0c, 7, 8, 0x80 | 16, 1])
    }

    /// As compilers begin for aarch64: CFA = sp.
    pub fn aarch64(&mut self) -> &mut Self {
        self.common("", 30, &[0x0c, 31, 0])
    }

    /// A function at this address.
    pub fn function(&mut self, start: u64, size: u32, instructions: &[u8]) -> &mut Self {
        let mut content = Vec::new();
        if self.is_debug {
            content.extend(u32::try_from(self.common_at).unwrap().to_le_bytes());
            content.extend(start.to_le_bytes());
            content.extend(u64::from(size).to_le_bytes());
        } else {
            let at = self.bytes.len() + 4;
            content.extend(u32::try_from(at - self.common_at).unwrap().to_le_bytes());
            let place = FRAMES + at as u64 + 4;
            content.extend((start.wrapping_sub(place) as u32).to_le_bytes());
            content.extend(size.to_le_bytes());
            content.push(0);
        }
        content.extend(instructions);
        self.entry(content);
        self
    }
}

/// A file to be.
pub struct Made {
    pub machine: u16,
    pub entry: u64,
    pub code: Vec<u8>,
    pub sections: Vec<(&'static str, Vec<u8>)>,
    pub is_stripped: bool,
    /// Where the code is.
    pub address: u64,
}

impl Made {
    /// With this for its code.
    pub fn x86_64(code: Vec<u8>, frames: &Frames) -> Self {
        Self {
            machine: elf::EM_X86_64,
            entry: 0,
            code,
            sections: vec![(".eh_frame", frames.bytes.clone())],
            is_stripped: false,
            address: CODE,
        }
    }

    /// With this for its code.
    pub fn aarch64(code: Vec<u8>, frames: &Frames) -> Self {
        Self {
            machine: elf::EM_AARCH64,
            ..Self::x86_64(code, frames)
        }
    }

    /// With another section.
    pub fn with(mut self, name: &'static str, bytes: Vec<u8>) -> Self {
        self.sections.push((name, bytes));
        self
    }

    /// Found by the segment of its index alone, as in a file whose section headers were stripped.
    pub fn stripped(mut self) -> Self {
        // Version; encodings of the pointer, the count and the table, of which there are none.
        let mut index = vec![
            1,
            (gimli::DW_EH_PE_pcrel | gimli::DW_EH_PE_sdata4).0,
            0xff,
            0xff,
        ];
        index.extend(((FRAMES - INDEX - 4) as u32).to_le_bytes());
        self.sections.push((".eh_frame_hdr", index));
        self.is_stripped = true;
        self
    }

    /// Its bytes: header, program headers, section headers, contents.
    pub fn elf(&self) -> Vec<u8> {
        let strings: Vec<u8> = Vec::new();
        let sections = self.sections.iter().cloned();
        let sections: Vec<_> = sections.chain([(".shstrtab", strings)]).collect();
        let count = sections.len() + 1;
        let at = |segments: usize| 64 + 56 * segments + 64 * count;
        let address_of = |name| match name {
            ".eh_frame" => FRAMES,
            ".eh_frame_hdr" => INDEX,
            _ => 0,
        };
        let loaded = sections
            .iter()
            .filter(|(name, _)| address_of(name) != 0)
            .count();
        let segment_count = 1 + loaded + usize::from(self.is_stripped);

        let mut names = vec![0];
        let mut headers = vec![0; 64];
        let mut contents = self.code.clone();
        let code = (
            elf::PT_LOAD,
            elf::PF_R | elf::PF_X,
            self.address,
            at(segment_count),
            self.code.len(),
        );
        let mut segments = vec![code];
        for (name, mut bytes) in sections {
            let name_at = names.len() as u32;
            names.extend(name.bytes().chain([0]));
            if name == ".shstrtab" {
                bytes.clone_from(&names);
            }
            let address = address_of(name);
            let offset = at(segment_count) + contents.len();
            headers.extend([name_at, elf::SHT_PROGBITS].map(u32::to_le_bytes).concat());
            for field in [0, address, offset as u64, bytes.len() as u64, 0, 1, 0] {
                headers.extend(field.to_le_bytes());
            }
            if address != 0 {
                segments.push((elf::PT_LOAD, elf::PF_R, address, offset, bytes.len()));
            }
            if self.is_stripped && name == ".eh_frame_hdr" {
                segments.push((
                    elf::PT_GNU_EH_FRAME,
                    elf::PF_R,
                    address,
                    offset,
                    bytes.len(),
                ));
            }
            contents.extend(bytes);
        }
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([elf::ET_DYN, self.machine].map(u16::to_le_bytes).concat());
        file.extend(1_u32.to_le_bytes());
        let sections_at = if self.is_stripped {
            0
        } else {
            64 + 56 * segment_count as u64
        };
        file.extend([self.entry, 64, sections_at].map(u64::to_le_bytes).concat());
        file.extend(0_u32.to_le_bytes());
        let section_count = if self.is_stripped { 0 } else { count as u16 };
        let names_at = section_count.saturating_sub(1);
        for field in [64, 56, segment_count as u16, 64, section_count, names_at] {
            file.extend(field.to_le_bytes());
        }
        for (kind, flags, address, offset, size) in segments {
            file.extend([kind, flags].map(u32::to_le_bytes).concat());
            let (offset, size) = (offset as u64, size as u64);
            for field in [offset, address, address, size, size, 0x1000] {
                file.extend(field.to_le_bytes());
            }
        }
        file.extend(headers);
        file.extend(contents);
        file
    }
}
