//! eBPF programs of a few instructions, written by hand: what they do is all that they cost.

use std::io;
use std::os::fd::OwnedFd;

use unfreed_tests::system_call::owned;

/// One instruction of `include/uapi/linux/bpf.h`, `struct bpf_insn`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    /// The destination in the lower half, the source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Registers: the result of a call, its arguments, one that calls leave alone, and the end of the stack.
pub const R0: u8 = 0;
pub const R1: u8 = 1;
pub const R2: u8 = 2;
pub const R3: u8 = 3;
pub const R4: u8 = 4;
pub const R6: u8 = 6;
pub const R10: u8 = 10;

const fn instruction(
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
) -> Instruction {
    Instruction {
        code,
        registers: source << 4 | destination,
        offset,
        immediate,
    }
}

/// `to = number`
pub const fn set(to: u8, number: i32) -> Instruction {
    instruction(0xb7, to, 0, 0, number)
}

/// `to = from`
pub const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, to, from, 0, 0)
}

/// `to += number`
pub const fn add(to: u8, number: i32) -> Instruction {
    instruction(0x07, to, 0, 0, number)
}

/// `to >>= bits`
pub const fn shift_right(to: u8, bits: i32) -> Instruction {
    instruction(0x77, to, 0, 0, bits)
}

/// `to` = the map of this descriptor, in two instructions (`BPF_PSEUDO_MAP_FD`).
pub const fn map(to: u8, descriptor: i32) -> [Instruction; 2] {
    const DESCRIPTOR: u8 = 1;
    [
        instruction(0x18, to, DESCRIPTOR, 0, descriptor),
        instruction(0, 0, 0, 0, 0),
    ]
}

/// `*(u32 *)(at + offset) = number`
pub const fn write_u32(at: u8, offset: i16, number: i32) -> Instruction {
    instruction(0x62, at, 0, offset, number)
}

/// `to = *(u64 *)(from + offset)`
pub const fn read(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x79, to, from, offset, 0)
}

/// Leaves out the next `count` instructions unless `register == number`.
pub const fn skip_unless(register: u8, number: i32, count: i16) -> Instruction {
    instruction(0x55, register, 0, count, number)
}

/// Calls the helper of this number.
pub const fn call(helper: i32) -> Instruction {
    instruction(0x85, 0, 0, 0, helper)
}

/// `return R0`
pub const fn exit() -> Instruction {
    instruction(0x95, 0, 0, 0, 0)
}

/// Types of programs.
pub const KPROBE: u32 = 2;
pub const XDP: u32 = 6;
pub const RAW_TRACEPOINT: u32 = 17;

/// `bpf(2)`'s attributes for loading a program, as far as they are used (`include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

/// Loads a program.
pub fn load(kind: u32, instructions: &[Instruction]) -> io::Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    let load = Load {
        kind,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    // SAFETY: the kernel reads the attributes, the instructions and the licence, which live until then.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    owned(fd)
}
