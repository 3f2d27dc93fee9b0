//! From any bytes to an unwind table or a reason why there is none: `cargo fuzz run table`, with
//! `fuzz/seeds` to begin with (`cargo +nightly fuzz run table fuzz/corpus/table fuzz/seeds`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use unfreed_common::unwind::{MAX_ROWS, Rule};

#[expect(dead_code, reason = "the library's callers use more of it")]
#[path = "../../profiler/src/unwind/mod.rs"]
mod unwind;

fuzz_target!(|bytes: &[u8]| {
    let _ = unwind::cache::Identity::of(bytes, None);
    let Ok(table) = unwind::Table::of_elf_and_debug_file(bytes, Some(bytes)) else {
        return;
    };
    let (first, last) = (table.rows[0], table.rows[table.rows.len() - 1]);
    assert!(first.address() == 0 && last.rule() == Rule::NONE);
    assert!(table.rows.len() <= MAX_ROWS as usize);
    for pair in table.rows.windows(2) {
        assert!(pair[0].address() < pair[1].address());
        assert!(pair[0].rule() != pair[1].rule());
    }
});
