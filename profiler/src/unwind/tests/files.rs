//! Files as they are found: stripped, compressed, static, in memory.

use std::process::Command;

use unfreed_common::unwind::{Kind, Rule};

use super::super::cache::Identity;
use super::super::elf::Elf;
use super::super::parallel::{Source, build_all};
use super::super::{NoTable, Table};
use super::made::{CODE, Frames, Made};
use super::{LIBC, check_shape, mapped, rule_at};

/// A program whose functions have the kind of unwind information that `arguments` ask for.
fn build(compiler: &str, arguments: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("it.c"), directory.path().join("it"));
    let text = "
        #include <signal.h>
        __attribute__((noinline)) int twice(volatile int *p) { volatile int a[100]; a[*p] = *p; return a[*p] + *p; }
        static void handler(int number) { (void)number; }
        int main(int argc, char **argv) { (void)argv; signal(SIGUSR1, handler); return twice(&argc); }";
    std::fs::write(&source, text).unwrap();
    let status = Command::new(compiler)
        .args(["-O1", "-o"])
        .args([&program, &source])
        .args(arguments)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(program).unwrap()
}

/// The rules of the function `twice`.
fn twice(elf: &[u8], table: &Table) -> Vec<Rule> {
    use object::{Object as _, ObjectSymbol as _};
    let file = object::File::parse(elf).unwrap();
    let symbol = file.symbols().find(|it| it.name() == Ok("twice")).unwrap();
    let range = symbol.address()..symbol.address() + symbol.size();
    range.map(|address| rule_at(table, address)).collect()
}

#[test]
fn section_headers_are_not_needed() {
    let mut elf = mapped(LIBC).to_vec();
    let whole = Table::of_elf(&elf).unwrap();
    // e_shoff, e_shnum, e_shstrndx
    elf[40..48].fill(0);
    elf[60..64].fill(0);
    let stripped = Table::of_elf(&elf).unwrap();
    assert!(stripped.rows.len() > 20_000);
    assert!(stripped == whole);
}

#[test]
fn debug_frame_of_a_compiler() {
    const WITHOUT: &str = "-fno-asynchronous-unwind-tables";
    let of = |arguments: &[&str]| {
        let elf = build("gcc", arguments);
        let table = Table::of_elf(&elf).unwrap();
        check_shape(&table);
        twice(&elf, &table)
    };
    let usual = of(&[]);
    assert!(usual.iter().any(|rule| rule.n() > 10), "{usual:?}");
    assert_eq!(of(&[WITHOUT, "-g"]), usual);
    assert_eq!(
        of(&[WITHOUT, "-g", "-Wl,--compress-debug-sections=zlib"]),
        usual
    );
    assert!(of(&[WITHOUT]).iter().all(|rule| *rule == Rule::NONE));
}

#[test]
fn entry_points_are_ends() {
    let musl = build("musl-gcc", &["-static"]);
    let shared = mapped("/lib/ld-musl-x86_64.so.1");
    for (elf, is_musl) in [(&*shared, true), (&musl, true), (&build("gcc", &[]), false)] {
        let table = Table::of_elf(elf).unwrap();
        check_shape(&table);
        let parsed = Elf::parse(elf).unwrap();
        let entry = parsed.entry();
        let is_end = |offset: &u64| rule_at(&table, entry + offset) == Rule::END;
        let size = (0..256).take_while(is_end).count();
        assert!((17..64).contains(&size), "{size}");
        // musl's is described by nothing, so it ends with its first call.
        let call = parsed.mapped(entry).unwrap()[size - 5];
        assert!(call == 0xe8 || !is_musl, "{size}");
        let count = table.rows.iter().filter(|row| row.rule() == Rule::END);
        assert!(count.count() < 4);
    }
}

#[test]
fn what_signal_handlers_return_to() {
    let musl = build("musl-gcc", &["-static"]);
    for elf in [&*mapped("/lib/ld-musl-x86_64.so.1"), &musl, &*mapped(LIBC)] {
        let table = Table::of_elf(elf).unwrap();
        let mut rows = table.rows.iter();
        let found = rows.position(|row| row.rule() == Rule::SIGNAL).unwrap();
        assert!(rows.all(|row| row.rule() != Rule::SIGNAL));
        // From one byte before: the lookup is of the return address less 1.
        let [start, end] =
            [0, 1].map(|next| table.base + u64::from(table.rows[found + next].address()));
        let code = Elf::parse(elf).unwrap().mapped(start + 1).unwrap();
        assert_eq!(code[..9], [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
        assert!(
            end - start >= 10 && end - start < 16,
            "{start:#x}..{end:#x}"
        );
    }
    // The same for aarch64, at a multiple of 4 only.
    let mut code = vec![0; 128];
    let sigreturn = [0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4];
    code[34..42].copy_from_slice(&sigreturn);
    code[64..72].copy_from_slice(&sigreturn);
    let table = Table::of_elf(&Made::aarch64(code, &Frames::eh()).elf()).unwrap();
    let rows = table.rows.iter().map(|row| (row.address(), row.rule()));
    let expected = [(0, Rule::NONE), (60, Rule::SIGNAL), (72, Rule::NONE)];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}

#[test]
fn entry_point_for_aarch64() {
    // mov x29, #0; mov x30, #0; mov x0, sp; b
    let start = [
        0xd280_001d_u32,
        0xd280_001e,
        0x9100_03e0,
        0x1400_0001,
        0xd503_201f,
    ];
    let mut code: Vec<u8> = start.iter().flat_map(|it| it.to_le_bytes()).collect();
    code.resize(64, 0);
    let made = Made {
        entry: CODE,
        ..Made::aarch64(code, &Frames::eh())
    };
    let table = Table::of_elf(&made.elf()).unwrap();
    let rows = table.rows.iter().map(|row| (row.address(), row.rule()));
    assert_eq!(rows.collect::<Vec<_>>(), [(0, Rule::END), (16, Rule::NONE)]);
}

/// The kernel's library, which is no file.
#[test]
fn vdso() {
    use std::os::unix::fs::FileExt as _;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap();
    let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
    let [start, end] = [start, end].map(|it| u64::from_str_radix(it, 16).unwrap());
    let mut bytes = vec![0; (end - start) as usize];
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, start).unwrap();
    let table = Table::of_elf(&bytes).unwrap();
    check_shape(&table);
    let stack = Rule::new(Kind::StackPointer, 1, 0).unwrap();
    assert!(table.rows.iter().any(|row| row.rule() == stack));
    assert!(Identity::of(&bytes, None).is_some(), "it has a build id");
}

#[test]
fn many_at_once() {
    let libc = mapped(LIBC);
    let script = b"#!/bin/sh";
    let made = Made::x86_64(
        vec![0x90; 64],
        Frames::eh().x86_64().function(CODE, 16, &[]),
    )
    .elf();
    let sources = [&script[..], &made, &libc, &made].map(|bytes| Source { bytes, debug: None });
    let tables = build_all(&sources);
    assert_eq!(tables[0], Err(NoTable::NotElf64));
    assert!(tables[2] == Table::of_elf(&libc));
    assert_eq!(tables[1], Table::of_elf(&made));
    assert_eq!(tables[3], tables[1]);
    assert!(tables[3].is_ok());
    assert!(build_all(&[]).is_empty());
}

#[test]
fn the_same_file() {
    let libc = mapped(LIBC);
    let metadata = |path: &std::path::Path| std::fs::metadata(path).unwrap();
    let identity = Identity::of(&libc, Some(&metadata(LIBC.as_ref()))).unwrap();
    assert!(matches!(&identity, Identity::Build { id, .. } if id.len() == 20));
    // Wherever it is; but not when something was done to it.
    assert_eq!(
        Identity::of(&std::fs::read(LIBC).unwrap(), None).unwrap(),
        identity
    );
    assert_ne!(
        Identity::of(&libc[..libc.len() - 1], None).unwrap(),
        identity
    );

    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    std::fs::write(&a, "#!/bin/sh").unwrap();
    std::fs::copy(&a, &b).unwrap();
    let of = |path: &std::path::Path| Identity::of(b"#!/bin/sh", Some(&metadata(path)));
    assert_eq!(of(&a), of(&a));
    assert_ne!(of(&a), of(&b));
    let before = of(&a);
    std::fs::write(&a, "#!/bin/bash").unwrap();
    assert_ne!(of(&a), before);
    assert_eq!(Identity::of(b"#!/bin/sh", None), None);
}
