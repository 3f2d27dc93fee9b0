//! The table of functions that Go's linker leaves in every program, stripped or not, for the runtime's
//! own stack traces: names, and how far the stack pointer is from the frame's beginning at each
//! instruction.
//!
//! Learned from Go's `runtime/symtab.go`, `internal/abi/symtab.go` and `debug/gosym/pclntab.go` (Go 1.4
//! to 1.26). Files are not trusted: nothing here panics, whatever they hold, and only what is asked for is
//! looked at. x86-64 only.

mod form;
mod place;
mod values;

use std::ops::Range;

use object::Endianness;
use object::read::elf::ElfFile64;

use form::Form;
pub use form::Special;
pub use values::Values;

/// Longer names are cut: Go writes whole types with all their fields into names of functions.
const MAX_NAME: usize = 1 << 12;

/// The functions of one file.
#[derive(Clone)]
pub struct Functions<'data> {
    form: Form<'data>,
    /// What the table's addresses are to be moved by to be those that the ELF headers count.
    text: u64,
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function<'data> {
    /// Its virtual addresses, up to the next function's: what fills up to that one is part of it.
    pub range: Range<u64>,
    /// As the runtime's own traces show it: Go's type parameters are `[...]`.
    pub name: &'data str,
    /// What the runtime has to know of it; `None`: a version of Go that does not say so in this table.
    pub special: Option<Special>,
    values: Values<'data>,
}

impl<'data> Functions<'data> {
    /// The table of an ELF file; `None` where there is none, or where it is not known which code it
    /// describes.
    pub fn of_elf(bytes: &'data [u8]) -> Option<Self> {
        let elf = ElfFile64::<Endianness>::parse(bytes).ok()?;
        place::find(&elf)
    }

    /// All of them, in the order of the table: by address, unless it is damaged.
    pub fn iter(&self) -> impl Iterator<Item = Function<'data>> + '_ {
        (0..self.form.count()).filter_map(|index| self.get(index))
    }

    /// The one that has this virtual address.
    pub fn at(&self, address: u64) -> Option<Function<'data>> {
        let relative = address.checked_sub(self.text)?;
        let (mut low, mut high) = (0, self.form.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.form.start(middle)? <= relative {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let function = self.get(low.checked_sub(1)?)?;
        function.range.contains(&address).then_some(function)
    }

    fn get(&self, index: usize) -> Option<Function<'data>> {
        let start = self.form.start(index)?;
        let end = self.form.start(index + 1)?;
        let details = self.form.details(index)?;
        Some(Function {
            range: self.text.checked_add(start)?..self.text.checked_add(end)?,
            name: details.name,
            special: details.special,
            values: details.stack_sizes,
        })
    }
}

impl<'data> Function<'data> {
    /// How many bytes are on the stack, the return address not counted, and up to which byte of the
    /// function that holds: from where the one before ends. The last one ends where the function's code
    /// does.
    pub fn stack_sizes(&self) -> Values<'data> {
        self.values.clone()
    }
}

#[cfg(test)]
pub(crate) mod made;
#[cfg(test)]
mod tests;
