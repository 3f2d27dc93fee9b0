//! The DWARF expressions that compilers, linkers and assembler programmers use for frames. There are
//! few of them, and each stands for a kind of rule, so they are recognized, not computed.

use gimli::{Encoding, Operation, Register, UnwindSection};

use super::entries::Bytes;
use super::program::Expression;

/// What an expression computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// register + offset
    Sum(Register, i64),
    /// *(register + offset) + more
    Memory {
        /// Base of the address.
        register: Register,
        /// Added to the register.
        offset: i64,
        /// Added to what was read.
        more: u64,
    },
    /// register + offset + ((program counter & 15) >= n) * 8: a stub of the procedure linkage
    /// table, which pushes a word with one of its instructions (`elf_x86_64_lazy_plt` in binutils).
    Stub {
        /// The stack pointer.
        register: Register,
        /// Before anything is pushed.
        offset: i64,
        /// The program counter.
        counter: Register,
        /// From which position in the stub on.
        n: u64,
    },
}

/// The expressions of one section's entry.
pub struct Expressions<'section, S> {
    /// Where they are.
    pub section: &'section S,
    /// How they are written.
    pub encoding: Encoding,
}

/// Operations in the longest expression that is recognized.
const LONGEST: usize = 9;

impl<S> Expressions<'_, S> {
    /// `None` for any other expression.
    pub fn meaning<'data>(&self, expression: Expression) -> Option<Meaning>
    where
        S: UnwindSection<Bytes<'data>>,
    {
        let expression = expression.get(self.section).ok()?;
        let mut operations = expression.operations(self.encoding);
        let mut found = [Operation::Nop; LONGEST];
        let mut count = 0;
        while let Some(operation) = operations.next().ok()? {
            *found.get_mut(count)? = operation;
            count += 1;
        }
        let word = Operation::Deref {
            base_type: gimli::UnitOffset(0),
            size: 8,
            space: false,
        };
        match found[..count] {
            [sum] => {
                let (register, offset) = register_offset(sum)?;
                Some(Meaning::Sum(register, offset))
            }
            [sum, deref] if deref == word => {
                let (register, offset) = register_offset(sum)?;
                Some(Meaning::Memory {
                    register,
                    offset,
                    more: 0,
                })
            }
            [sum, deref, Operation::PlusConstant { value: more }] if deref == word => {
                let (register, offset) = register_offset(sum)?;
                Some(Meaning::Memory {
                    register,
                    offset,
                    more,
                })
            }
            [
                sum,
                counter,
                Operation::UnsignedConstant { value: 15 },
                Operation::And,
                Operation::UnsignedConstant { value: n },
                Operation::Ge,
                Operation::UnsignedConstant { value: 3 },
                Operation::Shl,
                Operation::Plus,
            ] => {
                let (register, offset) = register_offset(sum)?;
                let (counter, 0) = register_offset(counter)? else {
                    return None;
                };
                Some(Meaning::Stub {
                    register,
                    offset,
                    counter,
                    n,
                })
            }
            _ => None,
        }
    }
}

fn register_offset(operation: Operation<Bytes<'_>>) -> Option<(Register, i64)> {
    match operation {
        Operation::RegisterOffset {
            register, offset, ..
        } => Some((register, offset)),
        _ => None,
    }
}
