//! What fuzzing begins with: `fuzz/seeds/`, files that are made here. After a change,
//! `UNFREED_WRITE_SEEDS=1 cargo test seeds` writes them anew.

use std::path::Path;

use super::super::{NoTable, Table};
use super::made::{CODE, Frames, Made};

fn seeds() -> Vec<(&'static str, Made, Result<usize, NoTable>)> {
    let code = || vec![0x90; 48];
    let mut plain = Frames::eh();
    plain.x86_64();
    // push rbp; mov rsp, rbp; ...; leave; ret
    plain.function(
        CODE,
        16,
        &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x4b, 0x0c, 7, 8],
    );
    // remember and restore
    plain.function(
        CODE + 16,
        16,
        &[0x42, 0x0e, 32, 0x0a, 0x42, 0x0e, 8, 0x42, 0x0b],
    );
    let mut unusual = Frames::eh();
    unusual.x86_64();
    // *(rbp - 40), rbp at rbp + 0; the linkage table; *(rsp + 16) + 8; undefined return address
    unusual.function(CODE, 8, &[0x0f, 3, 0x76, 0x58, 6, 0x10, 6, 2, 0x76, 0]);
    let stub = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
    unusual.function(CODE + 8, 8, &[&[0x0f, 11], &stub[..]].concat());
    unusual.function(CODE + 16, 8, &[0x0f, 5, 0x77, 16, 6, 0x23, 8]);
    unusual.function(CODE + 24, 8, &[0x07, 16]);
    // a signal frame
    unusual.common("S", 16, &[]);
    let saved = [0x10, 6, 3, 0x77, 0xf8, 0, 0x10, 16, 3, 0x77, 0xa8, 1];
    unusual.function(
        CODE + 32,
        8,
        &[&[0x0f, 4, 0x77, 0xa0, 1, 6], &saved[..]].concat(),
    );
    let mut aarch64 = Frames::eh();
    aarch64.aarch64();
    aarch64.function(
        CODE,
        16,
        &[0x2d, 0x44, 0x0e, 32, 0x9d, 4, 0x9e, 3, 0x44, 0x0c, 29, 32],
    );
    let mut debug = Frames::debug();
    debug.x86_64().function(CODE + 32, 16, &[0x0e, 0x80, 1]);
    let mut sigreturn = code();
    sigreturn[8..17].copy_from_slice(&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
    // xor ebp, ebp; call
    sigreturn[24..31].copy_from_slice(&[0x31, 0xed, 0xe8, 0, 0, 0, 0]);
    let mut endless = plain.clone();
    endless.bytes[0] = 0xff;
    let musl = Made {
        entry: CODE + 24,
        ..Made::x86_64(sigreturn, &Frames::eh())
    };
    vec![
        ("plain", Made::x86_64(code(), &plain), Ok(9)),
        ("unusual", Made::x86_64(code(), &unusual), Ok(6)),
        ("aarch64", Made::aarch64(code(), &aarch64), Ok(4)),
        (
            "debug-frame",
            Made::x86_64(code(), &plain).with(".debug_frame", debug.bytes),
            Ok(10),
        ),
        ("stripped", Made::x86_64(code(), &plain).stripped(), Ok(9)),
        ("undescribed", musl, Ok(5)),
        (
            "endless",
            Made::x86_64(code(), &endless),
            Err(NoTable::Nothing),
        ),
    ]
}

#[test]
fn seeds_are_as_they_are_made_here() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, made, rows) in seeds() {
        let elf = made.elf();
        let found = Table::of_elf(&elf).map(|table| table.rows.len());
        assert_eq!(found, rows, "{name}");
        assert!(elf.len() < 1 << 10, "{name}: {} bytes", elf.len());
        let path = directory.join(name);
        if std::env::var_os("UNFREED_WRITE_SEEDS").is_some() {
            std::fs::write(&path, &elf).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == elf, "{name} is not what is kept: see above");
    }
}
