//! Tables of real files against what `readelf` reads from them, of files made for a purpose, and of
//! damaged ones.

mod damaged;
mod files;
mod go;
mod judge;
mod layouts;
mod made;
mod rules;
mod seeds;
mod steps;

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use unfreed_common::unwind::Rule;

use super::Table;

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

fn mapped(path: impl AsRef<Path>) -> Mmap {
    let path = path.as_ref();
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // SAFETY: a file of the system or of this build, which nobody changes meanwhile.
    unsafe { Mmap::map(&file) }.unwrap()
}

/// The rule that a walk finds for a virtual address.
fn rule_at(table: &Table, address: u64) -> Rule {
    let Some(relative) = address.checked_sub(table.base) else {
        return Rule::NONE;
    };
    let after = table
        .rows
        .partition_point(|row| u64::from(row.address()) <= relative);
    table.rows[after - 1].rule()
}

/// What the documentation of [`Table`] says of every table.
fn check_shape(table: &Table) {
    use unfreed_common::unwind::MAX_ROWS;
    assert!(!table.rows.is_empty() && table.rows.len() <= MAX_ROWS as usize);
    assert_eq!(table.rows[0].address(), 0);
    assert_eq!(table.rows[table.rows.len() - 1].rule(), Rule::NONE);
    for pair in table.rows.windows(2) {
        assert!(pair[0].address() < pair[1].address(), "{pair:?}");
        assert!(pair[0].rule() != pair[1].rule(), "{pair:?}");
    }
}
