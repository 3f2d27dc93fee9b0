//! A number for each instruction of a function, as differences in variable-length integers.

use std::fmt;

/// Goes through the numbers: up to which byte of the function, and which number.
#[derive(Clone)]
pub struct Values<'data> {
    bytes: &'data [u8],
    end: u64,
    value: i32,
    is_first: bool,
}

impl<'data> Values<'data> {
    /// `bytes`: from where the function's own begin.
    pub(super) fn new(bytes: &'data [u8]) -> Self {
        Self {
            bytes,
            end: 0,
            value: -1,
            is_first: true,
        }
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its bytes are those of all functions behind this one, too.
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl Iterator for Values<'_> {
    type Item = (u64, i32);

    fn next(&mut self) -> Option<Self::Item> {
        let difference = number(&mut self.bytes)?;
        // It ends with a difference of 0, which only the first can have otherwise.
        if difference == 0 && !self.is_first {
            self.bytes = &[];
            return None;
        }
        self.is_first = false;
        // The sign is the lowest bit.
        let magnitude = (difference >> 1).cast_signed();
        let difference = if difference & 1 == 0 {
            magnitude
        } else {
            !magnitude
        };
        let length = number(&mut self.bytes).filter(|length| *length != 0);
        let Some(length) = length else {
            self.bytes = &[];
            return None;
        };
        self.value = self.value.wrapping_add(difference);
        self.end += u64::from(length);
        Some((self.end, self.value))
    }
}

/// A number in groups of 7 bits, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
