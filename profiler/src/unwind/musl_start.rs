//! The function of musl that calls `main`, which nothing describes: without it no stack of a program's
//! first thread would be known to be whole.

use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};
use object::LittleEndian;
use object::elf::{FileHeader64, SHT_DYNSYM, SHT_SYMTAB};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};

use super::elf::{Elf, Machine};

/// Most bytes of either function.
const MAX_CODE: usize = 128;

const NAME: &[u8] = b"__libc_start_main\0";

/// Most symbols of a file that are looked through.
const MAX_SYMBOLS: usize = 1 << 20;

/// Where that function is: `__libc_start_main` ends in a jump to it through a register, so that the
/// compiler cannot merge the two (musl `src/env/__libc_start_main.c`). x86-64.
pub fn calls_main(elf: &Elf<'_>) -> Option<Range<u64>> {
    if elf.machine != Machine::X86_64 {
        return None;
    }
    let start = [SHT_DYNSYM, SHT_SYMTAB]
        .into_iter()
        .find_map(|kind| start_main(elf.data(), kind))?;
    let target = jumped_to(start, elf.mapped(start)?)?;
    let code = elf.mapped(target)?;
    // It never returns: behind its last call, of exit, another function begins.
    let calls = instructions(target, code)
        .filter(|instruction| instruction.flow_control() == FlowControl::IndirectCall)
        .map(|instruction| instruction.next_ip())
        .next()?;
    Some(target..calls)
}

/// The address of `__libc_start_main`, as the symbols of this kind have it.
fn start_main(data: &[u8], kind: u32) -> Option<u64> {
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    let sections = header.sections(LittleEndian, data).ok()?;
    let symbols = sections.symbols(LittleEndian, data, kind).ok()?;
    let strings = sections.section(symbols.string_section()).ok()?;
    let strings = strings.data(LittleEndian, data).ok()?;
    // Names are compared in place: to read one whole could mean all strings of a file, for each symbol.
    let symbol = symbols.iter().take(MAX_SYMBOLS).find(|symbol| {
        let name = strings.get(symbol.st_name(LittleEndian) as usize..);
        symbol.is_definition(LittleEndian) && name.is_some_and(|it| it.starts_with(NAME))
    })?;
    Some(symbol.st_value(LittleEndian))
}

/// What `lea target(%rip), reg` and `jmp *reg` lead to.
fn jumped_to(address: u64, code: &[u8]) -> Option<u64> {
    let mut loaded: Option<(Register, u64)> = None;
    for instruction in instructions(address, code) {
        match instruction.code() {
            Code::Lea_r64_m if instruction.is_ip_rel_memory_operand() => {
                loaded = Some((
                    instruction.op0_register(),
                    instruction.ip_rel_memory_address(),
                ));
            }
            Code::Jmp_rm64 if instruction.op0_kind() == OpKind::Register => {
                return loaded
                    .filter(|(register, _)| *register == instruction.op0_register())
                    .map(|(_, target)| target);
            }
            _ => {}
        }
    }
    None
}

fn instructions(address: u64, code: &[u8]) -> impl Iterator<Item = Instruction> {
    let code = &code[..code.len().min(MAX_CODE)];
    Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_real_musl() {
        let bytes = std::fs::read("/lib/ld-musl-x86_64.so.1").unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        let found = calls_main(&elf).unwrap();
        // Its last instruction is the call of main, whose address came in a register.
        let code = elf.mapped(found.start).unwrap();
        let last = instructions(found.start, code)
            .take_while(|instruction| instruction.next_ip() <= found.end)
            .last()
            .unwrap();
        assert_eq!(last.flow_control(), FlowControl::IndirectCall);
        assert_eq!(last.next_ip(), found.end);
    }

    #[test]
    fn glibc_has_none() {
        let bytes = std::fs::read("/lib/x86_64-linux-gnu/libc.so.6").unwrap();
        assert_eq!(calls_main(&Elf::parse(&bytes).unwrap()), None);
    }
}
