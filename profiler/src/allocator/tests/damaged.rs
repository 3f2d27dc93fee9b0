//! Files that are damaged or made to do harm: an error or a plan, soon, and never a panic.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::damage;

use super::{Hints, PlanError, build, plan};

static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let source = "
        #include <cstdlib>
        #include <new>
        void *operator new(std::size_t n) {
            if (void *p = std::malloc(n + 8)) return (char *)p + 8;
            throw std::bad_alloc();
        }
        extern \"C\" void *x_malloc(std::size_t n) { return (void *)(n * 5); }
        extern \"C\" void *x_calloc(std::size_t n, std::size_t m) { return x_malloc(n * m); }
        extern \"C\" void *x_realloc(void *p, std::size_t) { return p; }
        extern \"C\" void x_free(void *) {}
        int main() { return *new int; }";
    build("g++", &["-O1"], source)
});

fn check(elf: &[u8]) -> Result<super::Plan, PlanError> {
    let start = Instant::now();
    let found = plan(
        elf,
        &Hints {
            prefix: Some("x_".to_owned()),
            ..Hints::default()
        },
    );
    assert!(start.elapsed() < Duration::from_secs(5), "too slow");
    found
}

#[test]
fn the_file_to_be_damaged_has_a_plan() {
    let plan = check(&SMALL).unwrap();
    assert_eq!(plan.functions.len(), 5, "{plan:?}");
}

#[test]
fn other_files_are_errors() {
    assert!(matches!(check(b""), Err(PlanError::NotElf)));
    assert!(matches!(
        check(b"#!/bin/sh\necho a script, of more bytes than an ELF header has\n"),
        Err(PlanError::NotElf)
    ));
    let mut other = SMALL.clone();
    other[18] = 40;
    assert!(matches!(check(&other), Err(PlanError::Machine(40))));
    assert!(check(&SMALL[..SMALL.len() / 2]).is_err());
}

/// A string table without an end, and as many names in it as there can be.
#[test]
fn names_without_end_are_not_searched_for_one() {
    let mut elf = SMALL.clone();
    let long = vec![b'a'; 1 << 26];
    let start = elf.len();
    elf.extend(long);
    // Every section of strings is moved to the long one.
    let headers = u64::from_le_bytes(elf[40..48].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes(elf[60..62].try_into().unwrap()));
    for index in 0..count {
        let header = headers + 64 * index;
        if elf[header + 4] == 3 {
            elf[header + 24..header + 32].copy_from_slice(&(start as u64).to_le_bytes());
            elf[header + 32..header + 40].copy_from_slice(&(1_u64 << 26).to_le_bytes());
        }
    }
    let start = Instant::now();
    assert_eq!(check(&elf).unwrap().functions, []);
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
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
}
