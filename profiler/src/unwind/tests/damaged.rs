//! Files that are damaged or made to do harm: a table or a reason, soon, and never a panic.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::damage;
use unfreed_common::unwind::{MAX_ROWS, Rule};

use super::super::cache::Identity;
use super::super::{NoTable, Table};
use super::made::{CODE, Frames, Made};
use super::{LIBC, check_shape, mapped};

/// The dynamic linker: small, with an entry point, all of it described. Without its symbols.
static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| mapped("/lib64/ld-linux-x86-64.so.2").to_vec());

/// Where unwind information begins in [`SMALL`], and how long it is.
static FRAMES: LazyLock<(usize, usize)> = LazyLock::new(|| {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(&**SMALL).unwrap();
    let header = file.section_by_name(".eh_frame_hdr").unwrap();
    let frames = file.section_by_name(".eh_frame").unwrap();
    let (start, _) = header.file_range().unwrap();
    let (last, size) = frames.file_range().unwrap();
    (start as usize, (last + size - start) as usize)
});

fn check(elf: &[u8]) -> Result<Table, NoTable> {
    let start = Instant::now();
    let table = Table::of_elf_and_debug_file(elf, Some(elf));
    let _ = Identity::of(elf, None);
    assert!(start.elapsed() < Duration::from_secs(5), "too slow");
    if let Ok(table) = &table {
        check_shape(table);
    }
    table
}

#[test]
fn the_file_to_be_damaged_has_a_table() {
    assert!(check(&SMALL).unwrap().rows.len() > 1000);
    assert!(FRAMES.1 > 4000);
}

/// Every function asks for another common entry, all of which are the same bytes.
#[test]
fn common_entries_without_end() {
    let mut frames = Frames::eh();
    // A long augmentation, of what has no data and is allowed to come again.
    let signal = "S".repeat(1 << 20);
    frames.common(&signal, 16, &[]);
    for _ in 0..1 << 16 {
        frames.function(CODE, 16, &[]);
    }
    let mut at = frames.bytes.len();
    // Each refers to 8 bytes behind what the one before refers to.
    for index in 0..1 << 16 {
        at -= 24;
        let distance = at + 4 - 8 * index;
        frames.bytes[at + 4..at + 8].copy_from_slice(&(distance as u32).to_le_bytes());
    }
    let table = check(&Made::x86_64(vec![0x90; 64], &frames).elf());
    assert_eq!(table, Err(NoTable::Nothing));
}

/// One function with more rows than there can be, one with as many as there can be, and several that
/// are together larger than that, though all but one are dropped.
#[test]
fn rows_without_end() {
    let with = |rows: usize, functions: usize| {
        let mut frames = Frames::eh();
        // advance 1; CFA 16 or 24
        let steps = [[0x41, 0x0e, 16], [0x41, 0x0e, 24]].concat();
        frames.x86_64();
        for _ in 0..functions {
            frames.function(CODE, rows as u32 + 64, &steps.repeat(rows / 2));
        }
        let elf = Made::x86_64(vec![0x90; rows + 64], &frames).elf();
        Table::of_elf(&elf).map(|table| table.rows.len())
    };
    let most = MAX_ROWS as usize;
    assert_eq!(with(most, 1), Err(NoTable::TooLarge));
    assert_eq!(with(most - 2, 1), Ok(most));
    assert_eq!(with(most - 2, 3), Err(NoTable::TooLarge));
}

#[test]
fn steps_without_rows() {
    let mut frames = Frames::eh();
    frames.x86_64();
    // remember and restore, advances of nothing, and the largest advances
    let steps = [0x0a, 0x0b, 0x40, 0x04, 0xff, 0xff, 0xff, 0xff];
    frames.function(CODE, 64, &steps.repeat(1 << 20));
    // remember, without end
    frames.function(CODE + 64, 64, &vec![0x0a; 1 << 20]);
    let table = check(&Made::x86_64(vec![0x90; 128], &frames).elf()).unwrap();
    let rows = table.rows.iter().map(|row| row.address());
    assert_eq!(rows.collect::<Vec<_>>(), [0, 64, 128]);
    assert_eq!(table.rows[1].rule(), Rule::UNSUPPORTED);
}

/// What signal handlers return to is not looked for everywhere.
#[test]
fn code_without_end() {
    let mut code = vec![0; 9 << 20];
    let sigreturn = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    for at in [0x1000, (8 << 20) + 0x1000] {
        code[at..at + sigreturn.len()].copy_from_slice(&sigreturn);
    }
    let mut frames = Frames::eh();
    frames.x86_64().function(CODE + (8 << 20), 16, &[]);
    let table = check(&Made::x86_64(code, &frames).elf()).unwrap();
    let signal = table.rows.iter().filter(|row| row.rule() == Rule::SIGNAL);
    assert_eq!(signal.map(|row| row.address()).collect::<Vec<_>>(), [0xfff]);
}

/// A section of a file with holes, which takes no room on disk.
#[test]
fn zeros_without_end() {
    let made = Made::x86_64(vec![0x90; 64], &Frames::eh()).with(".debug_frame", vec![0; 8]);
    let mut elf = made.elf();
    let at = 64 + 2 * 56 + 2 * 64;
    let size = 300_u64 << 20;
    elf[at + 24..at + 32].copy_from_slice(&4096_u64.to_le_bytes());
    elf[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &elf).unwrap();
    file.as_file().set_len(size + 4096).unwrap();
    assert_eq!(check(&mapped(file.path())), Err(NoTable::TooLarge));
}

/// As many functions as fit, each at the same place, or each overlapping the next.
#[test]
fn functions_without_end() {
    for step in [0, 1] {
        let mut frames = Frames::eh();
        frames.x86_64();
        for index in 0..200_000 {
            frames.function(CODE + step * index, 200_000, &[]);
        }
        let table = check(&Made::x86_64(vec![0x90; 1 << 20], &frames).elf()).unwrap();
        assert!(table.rows.len() <= 3);
    }
}

/// A zlib stream of one block that is not compressed (RFC 1950 and 1951).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut stream = vec![0x78, 1, 1];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(bytes);
    let (mut a, mut b) = (1_u32, 0);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

/// A compressed section that says it is larger than what it is, or than anything is.
#[test]
fn sizes_that_are_not_true() {
    let mut frames = Frames::debug();
    frames.x86_64().function(CODE, 16, &[]);
    let of = |kind: u64, size: u64| {
        // Elf64_Chdr: type, size, alignment
        let mut section = [kind, size, 8].map(u64::to_le_bytes).concat();
        section.extend(stored(&frames.bytes));
        let made = Made::x86_64(vec![0x90; 64], &Frames::eh());
        let mut elf = made.with(".debug_frame", section).elf();
        // SHF_COMPRESSED of the second section, behind two segments
        elf[64 + 2 * 56 + 2 * 64 + 9] = 8;
        check(&elf)
    };
    let size = frames.bytes.len() as u64;
    assert_eq!(of(1, size).unwrap().rows.len(), 2);
    for other in [0, size - 1, size + 1, 1 << 20, 1 << 40, u64::MAX] {
        assert_eq!(of(1, other), Err(NoTable::Nothing), "{other}");
    }
    assert_eq!(of(2, size), Err(NoTable::Nothing), "zstd");
}

#[test]
fn files_cut_off() {
    let elf = mapped(LIBC);
    for part in 0..64 {
        let _ = check(&elf[..elf.len() / 64 * part]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_changed(elf in damage::anywhere(&SMALL)) {
        let _ = check(&elf);
    }

    #[test]
    fn headers_changed(elf in damage::in_headers(&SMALL)) {
        let _ = check(&elf);
    }

    #[test]
    fn frames_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        machine in prop::sample::select(vec![62, 183]),
        stripped in any::<bool>(),
    ) {
        let mut elf = SMALL.clone();
        let (start, size) = *FRAMES;
        for (at, byte) in changes {
            elf[start + at.index(size)] = byte;
        }
        elf[18] = machine;
        if stripped {
            elf[60] = 0;
        }
        let _ = check(&elf);
    }

    /// Instructions that nobody wrote.
    #[test]
    fn any_instructions(
        common in prop::collection::vec(any::<u8>(), 0..40),
        function in prop::collection::vec(any::<u8>(), 0..200),
        debug in any::<bool>(),
    ) {
        let mut frames = if debug { Frames::debug() } else { Frames::eh() };
        frames.common("", 16, &common).function(CODE, 64, &function);
        let made = Made::x86_64(vec![0x90; 64], &Frames::eh());
        let made = if debug {
            made.with(".debug_frame", frames.bytes)
        } else {
            Made { sections: vec![(".eh_frame", frames.bytes)], ..made }
        };
        let _ = check(&made.elf());
    }
}
