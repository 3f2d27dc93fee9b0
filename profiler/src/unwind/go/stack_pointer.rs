//! Where a function moves to another stack.

use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register};

/// Behind the first instruction that gives the stack pointer a value which is not a constant away from
/// the one before; offset in `code`.
pub fn moved(code: &[u8]) -> Option<u64> {
    let decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut moves = decoder.into_iter().filter(|instruction| {
        let of_it = instruction.op0_kind() == OpKind::Register
            && matches!(
                instruction.op0_register(),
                Register::RSP | Register::ESP | Register::SP | Register::SPL
            );
        let is_constant = match instruction.mnemonic() {
            Mnemonic::Add | Mnemonic::Sub => {
                instruction.op1_kind() != OpKind::Register
                    && instruction.op1_kind() != OpKind::Memory
            }
            Mnemonic::Lea => {
                instruction.memory_base() == Register::RSP
                    && instruction.memory_index() == Register::None
            }
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Bt => true,
            _ => false,
        };
        of_it && !is_constant && instruction.code() != Code::INVALID
    });
    moves.next().map(|instruction| instruction.next_ip())
}
