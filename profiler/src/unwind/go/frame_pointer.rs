//! Whether a function saves the caller's frame pointer, by its code: the compiler's do (since Go 1.7, when
//! they have a frame), assembly may not.

use super::Sizes;

/// push %rbp
const PUSH: u8 = 0x55;
/// mov %rbp, distance(%rsp), with a distance of no, 1 and 4 bytes
const STORE_HERE: [u8; 4] = [0x48, 0x89, 0x2c, 0x24];
const STORE_NEAR: [u8; 4] = [0x48, 0x89, 0x6c, 0x24];
const STORE_FAR: [u8; 4] = [0x48, 0x89, 0xac, 0x24];

/// From which byte of the function on it is in the word below the return address, as long as there is
/// anything on the stack: Go up to 1.20 first makes room for the whole frame and stores it then, later
/// versions push it first.
pub fn saved(sizes: &Sizes, code: &[u8]) -> Option<u64> {
    let first = sizes.iter().position(|(_, size)| *size > 0)?;
    let (_, size) = sizes[first];
    let at = match first.checked_sub(1) {
        Some(before) => sizes[before].0,
        None => 0,
    };
    let start = usize::try_from(at).ok()?;
    if size == 8 && start > 0 && code.get(start - 1) == Some(&PUSH) {
        return Some(at);
    }
    let (operation, distance) = code.get(start..)?.split_first_chunk()?;
    let (distance, length) = match (*operation, distance) {
        (STORE_HERE, _) => (0, 4),
        (STORE_NEAR, [distance, ..]) => (i32::from(distance.cast_signed()), 5),
        (STORE_FAR, [a, b, c, d, ..]) => (i32::from_le_bytes([*a, *b, *c, *d]), 8),
        _ => return None,
    };
    (size.checked_sub(8) == Some(distance)).then_some(at + length)
}
