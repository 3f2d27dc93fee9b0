//! ELF files made byte by byte, with unwind information as no compiler writes it.

use object::elf;

/// Where the code of made files is.
pub const CODE: u64 = 0x40_1000;
const FRAMES: u64 = 0x80_0000;

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
}

impl Made {
    /// With this for its code, at [`CODE`].
    pub fn x86_64(code: Vec<u8>, frames: &Frames) -> Self {
        Self {
            machine: elf::EM_X86_64,
            entry: 0,
            code,
            sections: vec![(".eh_frame", frames.bytes.clone())],
        }
    }

    /// With this for its code, at [`CODE`].
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

    /// Its bytes: header, one program header, section headers, contents.
    pub fn elf(&self) -> Vec<u8> {
        let mut names = vec![0];
        let mut headers = vec![0; 64];
        let mut contents = Vec::new();
        let count = self.sections.len() + 2;
        let contents_at = 64 + 56 + 64 * count;
        let strings: Vec<u8> = Vec::new();
        let sections = self
            .sections
            .iter()
            .cloned()
            .chain([(".shstrtab", strings)]);
        for (name, mut bytes) in sections {
            let name_at = names.len() as u32;
            names.extend(name.bytes().chain([0]));
            if name == ".shstrtab" {
                bytes.clone_from(&names);
            }
            let address = if name == ".eh_frame" { FRAMES } else { 0 };
            let offset = (contents_at + contents.len()) as u64;
            headers.extend(name_at.to_le_bytes());
            headers.extend(elf::SHT_PROGBITS.to_le_bytes());
            for field in [0, address, offset, bytes.len() as u64, 0, 1, 0] {
                headers.extend(field.to_le_bytes());
            }
            contents.extend(bytes);
        }
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(elf::ET_DYN.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for field in [self.entry, 64, 64 + 56] {
            file.extend(field.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for field in [64, 56, 1, 64, count as u16, count as u16 - 1] {
            file.extend(field.to_le_bytes());
        }
        file.extend(elf::PT_LOAD.to_le_bytes());
        file.extend((elf::PF_R | elf::PF_X).to_le_bytes());
        let offset = (contents_at + contents.len()) as u64;
        let size = self.code.len() as u64;
        for field in [offset, CODE, CODE, size, size, 0x1000] {
            file.extend(field.to_le_bytes());
        }
        file.extend(headers);
        file.extend(contents);
        file.extend(&self.code);
        file
    }
}
