//! What the table looks like. It has had four forms, told apart by its first word:
//!
//! | Go | first word | addresses of functions | parts |
//! |---|---|---|---|
//! | 1.2 to 1.15 | fffffffb | 8 bytes, absolute | all in one |
//! | 1.16, 1.17 | fffffffa | 8 bytes, absolute | names, numbers and functions on their own |
//! | 1.18, 1.19 | fffffff0 | 4 bytes, from the beginning of the code | the same |
//! | 1.20 and later | fffffff1 | the same | the same, with one word more for each function |

use super::MAX_NAME;
use super::values::Values;

/// What the runtime has to know of a function (`FuncFlag`, Go 1.17 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// It is the outermost function of a stack.
    pub is_outermost: bool,
    /// It sets the stack pointer to what is not a constant away from what it was.
    pub moves_stack: bool,
}

/// A table that was found, whatever its form.
#[derive(Clone)]
pub(super) struct Form<'data> {
    names: &'data [u8],
    /// The numbers for each instruction.
    values: &'data [u8],
    /// Pairs of a function's start and where in `functions` its details are; one start more.
    starts: &'data [u8],
    functions: &'data [u8],
    count: usize,
    fields: Fields,
}

/// Where a function's details are, from their beginning.
#[derive(Debug, Clone, Copy)]
struct Fields {
    /// Bytes of an address, and of an offset beside it.
    width: usize,
    name: usize,
    stack_sizes: usize,
    flags: Option<usize>,
}

/// What is said of one function.
pub(super) struct Details<'data> {
    pub name: &'data str,
    pub special: Option<Special>,
    pub stack_sizes: Values<'data>,
}

/// The first word's last byte.
const GO_1_2: u8 = 0xfb;
const GO_1_16: u8 = 0xfa;
const GO_1_18: u8 = 0xf0;
const GO_1_20: u8 = 0xf1;

const IS_OUTERMOST: u8 = 1;
const MOVES_STACK: u8 = 2;

/// Whether a table may begin here: a known first word, two bytes of 0, instructions of any length, and
/// pointers of 8 bytes.
pub(super) fn is_beginning(bytes: &[u8]) -> bool {
    let known = [GO_1_2, GO_1_16, GO_1_18, GO_1_20];
    matches!(bytes, [first, 0xff, 0xff, 0xff, 0, 0, 1, 8, ..] if known.contains(first))
}

impl<'data> Form<'data> {
    /// Reads the header; `None` where it does not make sense.
    pub fn read(table: &'data [u8]) -> Option<Self> {
        if !is_beginning(table) {
            return None;
        }
        let word = |index: usize| usize::try_from(u64_at(table, 8 + 8 * index)?).ok();
        let part = |index: usize| table.get(word(index)?..);
        let count = word(0)?;
        let (names, values, functions, starts) = match table[0] {
            GO_1_2 => (table, table, table, table.get(16..)?),
            GO_1_16 => (part(2)?, part(5)?, part(6)?, part(6)?),
            _ => (part(3)?, part(6)?, part(7)?, part(7)?),
        };
        let fields = match table[0] {
            GO_1_2 => Fields {
                width: 8,
                name: 8,
                stack_sizes: 20,
                flags: None,
            },
            // In Go 1.16 there is a byte of 0 instead of the flags.
            GO_1_16 => Fields {
                flags: Some(41),
                width: 8,
                name: 8,
                stack_sizes: 20,
            },
            GO_1_18 => Fields {
                width: 4,
                name: 4,
                stack_sizes: 16,
                flags: Some(37),
            },
            _ => Fields {
                width: 4,
                name: 4,
                stack_sizes: 16,
                flags: Some(41),
            },
        };
        let size = count.checked_mul(2)?.checked_add(1)?;
        let starts = starts.get(..size.checked_mul(fields.width)?)?;
        Some(Self {
            names,
            values,
            starts,
            functions,
            count,
            fields,
        })
    }

    /// Forgets the flags, if the function that has one for sure has none.
    pub fn check_flags(&mut self, outermost: &Details<'_>) {
        if !outermost.special.is_some_and(|it| it.is_outermost) {
            self.fields.flags = None;
        }
    }

    /// How many functions.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where the linker put the beginning of the code, if the table has addresses from there. Not to be
    /// relied on: in position-independent programs it is a relocation, and Go 1.26 has dropped it.
    pub fn text(table: &[u8]) -> u64 {
        match table.first() {
            Some(&(GO_1_18 | GO_1_20)) => u64_at(table, 24).unwrap_or(0),
            _ => 0,
        }
    }

    /// Where a function begins, as the table counts; for the index `count`, where the last one ends.
    pub fn start(&self, index: usize) -> Option<u64> {
        self.number(index.checked_mul(2)?)
    }

    fn number(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(self.fields.width)?;
        match self.fields.width {
            8 => u64_at(self.starts, at),
            _ => u32_at(self.starts, at).map(u64::from),
        }
    }

    /// What is said of a function.
    pub fn details(&self, index: usize) -> Option<Details<'data>> {
        if index >= self.count {
            return None;
        }
        let at = usize::try_from(self.number(index * 2 + 1)?).ok()?;
        let function = self.functions.get(at..)?;
        let offset = |at: usize| u32_at(function, at).map(|it| it as usize);
        // 0: none, of functions that are not Go's.
        let stack_sizes = match offset(self.fields.stack_sizes)? {
            0 => &[],
            at => self.values.get(at..)?,
        };
        let flags = self.fields.flags.map(|at| function.get(at).copied());
        let special = flags.flatten().map(|flags| Special {
            is_outermost: flags & IS_OUTERMOST != 0,
            moves_stack: flags & MOVES_STACK != 0,
        });
        Some(Details {
            name: name(self.names.get(offset(self.fields.name)?..)?),
            special,
            stack_sizes: Values::new(stack_sizes),
        })
    }
}

/// The text up to a byte of 0; as much of it as is text.
fn name(bytes: &[u8]) -> &str {
    let bytes = &bytes[..bytes.len().min(MAX_NAME)];
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.unwrap_or(bytes.len())];
    match std::str::from_utf8(bytes) {
        Ok(name) => name,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
