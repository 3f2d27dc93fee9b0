//! What the kernel emulates under a probe. Everything else it executes elsewhere and single-steps.
//!
//! x86-64, `arch/x86/kernel/uprobes.c`; [`Emulation::covers`] is checked on real kernels by the suite's module
//! `emulated`:
//!
//! | since Linux | instructions | where |
//! |---|---|---|
//! | 3.16 | `nop` of one byte, and with the prefix 66; jumps, conditional jumps and calls to a fixed address, without a prefix | `branch_setup_xol_ops` |
//! | 4.17 | a push of a general register, of r8 to r15 with the prefix 41 | `push_setup_xol_ops` |
//! | 6.16 | `nop`s of up to eight bytes, exactly as in `LONG_NOPS` | commit 610f6e14c29d |
//!
//! Not among them are `endbr64`, `test`, `cmp`, `mov`, `lea`, `sub`, a push of a constant, `pop` and `ret`, up to Linux 7.3.
//!
//! Linux 6.18 replaces a `nop` of five bytes under a probe by a call of its own (commit ba2bfc97b462), which is cheaper than a
//! breakpoint, but writes below the stack pointer, where a function may keep something, and changes code that other threads are in
//! (later kernels do it with ten bytes): such a `nop` is no place for a probe here.

use iced_x86::{Code as Opcode, Instruction};

/// The `nop`s that Linux emulates from 6.16 on (`x86_nops`, `arch/x86/include/asm/nops.h`), but for that of five bytes.
const LONG_NOPS: [&[u8]; 5] = [
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// What a kernel emulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emulation {
    /// What every kernel does that unfreed runs on.
    #[default]
    Everywhere,
    /// `nop`s of several bytes, too.
    LongNops,
}

impl Emulation {
    /// Of the kernel of this release, or made of it.
    pub fn of((major, minor, _): (u32, u32, u32)) -> Self {
        if (major, minor) >= (6, 16) {
            Self::LongNops
        } else {
            Self::Everywhere
        }
    }

    /// Whether the instruction, whose bytes begin `bytes`, is emulated. No other prefixes: with some of them it is not.
    pub fn covers(self, instruction: &Instruction, bytes: &[u8]) -> bool {
        /// The prefix of r8 to r15, the only one that it knows of a push.
        const REX_B: u8 = 0x41;
        let length = match instruction.code() {
            Opcode::Push_r64 => 1 + usize::from(bytes.first() == Some(&REX_B)),
            Opcode::Nopd | Opcode::Nopq => 1,
            Opcode::Nop_rm16 | Opcode::Nop_rm32 | Opcode::Nop_rm64 => {
                let whole = bytes.get(..instruction.len());
                return self == Self::LongNops && whole.is_some_and(|it| LONG_NOPS.contains(&it));
            }
            Opcode::Nopw | Opcode::Jmp_rel8_64 => 2,
            Opcode::Jmp_rel32_64 | Opcode::Call_rel32_64 => 5,
            _ if instruction.is_jcc_short() => 2,
            _ if instruction.is_jcc_near() => 6,
            _ => return false,
        };
        instruction.len() == length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_emulates_its_own() {
        assert_eq!(Emulation::of((6, 15, 11)), Emulation::Everywhere);
        assert_eq!(Emulation::of((6, 16, 0)), Emulation::LongNops);
        assert_eq!(Emulation::of((7, 0, 0)), Emulation::LongNops);
    }
}
