//! Prologues as compilers and assembly writers make them, and what is no prologue.

use proptest::prelude::*;

use super::{Emulation, Held, Site, emulated};
use crate::site::tests::Function;

fn site(bytes: &[u8]) -> Option<Site> {
    site_on(Emulation::Everywhere, bytes)
}

fn site_on(emulation: Emulation, bytes: &[u8]) -> Option<Site> {
    emulated(&Function(bytes.to_vec()), 0x1000, emulation, &mut 1000)
}

/// How far into the function the probe goes.
fn at(bytes: &[u8]) -> Option<u64> {
    site(bytes).map(|site| site.address - 0x1000)
}

const RET: u8 = 0xc3;
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
const ALL: Held = [Some(0), Some(1), Some(2)];

fn code(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A name, instructions, and how far in the site is.
type Case<'a> = (&'a str, &'a [&'a [u8]], Option<u64>);

#[test]
fn prologues() {
    let test_rdi: &[u8] = &[0x48, 0x85, 0xff];
    let je: &[u8] = &[0x74, 0x00];
    let je_near: &[u8] = &[0x0f, 0x84, 0, 0, 0, 0];
    let sub_rsp: &[u8] = &[0x48, 0x83, 0xec, 0x18];
    let lea_rax_rdi: &[u8] = &[0x48, 0x8d, 0x47, 0xf0];
    let mov_rax_global: &[u8] = &[0x48, 0x8b, 0x05, 0, 0, 0, 0];
    let cases: &[Case<'_>] = &[
        (
            "push %rbp, -O0 and -fno-omit-frame-pointer",
            &[&[0x55], &[RET]],
            Some(0),
        ),
        ("push %r15", &[&[0x41, 0x57], &[RET]], Some(0)),
        (
            "CET: endbr64; push %rbp",
            &[&ENDBR64, &[0x55], &[RET]],
            Some(4),
        ),
        (
            "CET: endbr64; push %r12",
            &[&ENDBR64, &[0x41, 0x54], &[RET]],
            Some(4),
        ),
        (
            "glibc's free: test; je",
            &[test_rdi, je_near, &[RET]],
            Some(3),
        ),
        (
            "glibc's free with CET",
            &[&ENDBR64, test_rdi, je, &[RET]],
            Some(7),
        ),
        (
            "jemalloc's malloc: cmp $0x1000,%rdi; ja",
            &[&[0x48, 0x81, 0xff, 0, 0x10, 0, 0, 0x77, 0, RET]],
            Some(7),
        ),
        (
            "tcmalloc's: mov; test; jne",
            &[mov_rax_global, &[0x48, 0x85, 0xc0, 0x75, 0x00, RET]],
            Some(10),
        ),
        (
            "musl's: jmp to the real one",
            &[&[0xe9, 0, 0, 0, 0], &[RET]],
            Some(0),
        ),
        ("hotpatch: nop; push", &[&[0x90], &[0x55], &[RET]], Some(0)),
        (
            "-pg: call __fentry__",
            &[&[0xe8, 0, 0, 0, 0], &[RET]],
            Some(0),
        ),
        (
            "stack pointer moved first",
            &[sub_rsp, test_rdi, je, &[RET]],
            None,
        ),
        (
            "frame pointer changed first: xor %ebp,%ebp",
            &[&[0x31, 0xed], je, &[RET]],
            None,
        ),
        ("a leaf that only computes", &[lea_rax_rdi, &[RET]], None),
        ("jmp *%rax", &[lea_rax_rdi, &[0xff, 0xe0]], None),
        (
            "a call by pointer: call *%rax; je",
            &[&[0xff, 0xd0], je, &[RET]],
            None,
        ),
        ("syscall; je", &[&[0x0f, 0x05], je, &[RET]], None),
        ("ud2", &[&[0x0f, 0x0b], je, &[RET]], None),
        // The kernel refuses to emulate a branch with this prefix.
        (
            "data16 je",
            &[&[0x66, 0x0f, 0x84, 0, 0, 0, 0], &[RET]],
            None,
        ),
        // Two bytes more than the kernel looks for: single-stepped, so the next one is better.
        (
            "rex.W push %rbp; push %rbx",
            &[&[0x48, 0x55], &[0x53], &[RET]],
            None,
        ),
    ];
    for (name, parts, expected) in cases {
        assert_eq!(at(&code(parts)), *expected, "{name}");
    }
}

/// What compilers put at a function's beginning to have room for a patch, on kernels that emulate it.
#[test]
fn long_nops() {
    let nop = |bytes: &[u8]| {
        let code = code(&[bytes, &[0x55], &[RET]]);
        [Emulation::Everywhere, Emulation::LongNops]
            .map(|emulation| site_on(emulation, &code).map(|site| site.address - 0x1000))
    };
    assert_eq!(nop(&[0x66, 0x90]), [Some(0), Some(0)]);
    assert_eq!(nop(&[0x0f, 0x1f, 0x00]), [Some(3), Some(0)]);
    assert_eq!(nop(&[0x0f, 0x1f, 0x40, 0x00]), [Some(4), Some(0)]);
    // Linux would make a call of it.
    assert_eq!(nop(&[0x0f, 0x1f, 0x44, 0, 0]), [Some(5), Some(5)]);
    assert_eq!(nop(&[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]), [Some(8), Some(0)]);
    // The same with another address, which is none of the kernel's.
    assert_eq!(nop(&[0x0f, 0x1f, 0x84, 0, 1, 0, 0, 0]), [Some(8), Some(8)]);
    // pause
    assert_eq!(nop(&[0xf3, 0x90]), [Some(2), Some(2)]);
}

/// The site would be passed again, or from elsewhere.
#[test]
fn what_control_comes_back_to_does_not_stand_for_the_entry() {
    // test %rdi,%rdi; je +2; jmp to the je; ret
    assert_eq!(at(&[0x48, 0x85, 0xff, 0x74, 0x02, 0xeb, 0xfc, RET]), None);
    // mov %rdi,%rax; test %rdi,%rdi; je +2; jmp to the test; ret
    let back_before = [
        0x48, 0x89, 0xf8, 0x48, 0x85, 0xff, 0x74, 0x02, 0xeb, 0xf9, RET,
    ];
    assert_eq!(at(&back_before), None);
    // ... but back to the entry is a call as any: mov; test; je +2; jmp to the mov; ret
    let back_to_entry = [
        0x48, 0x89, 0xf8, 0x48, 0x85, 0xff, 0x74, 0x02, 0xeb, 0xf6, RET,
    ];
    assert_eq!(at(&back_to_entry), Some(6));
    // behind the je a jump by a table, which could lead anywhere in here: test; je +2; jmp *%rax; ret
    assert_eq!(at(&[0x48, 0x85, 0xff, 0x74, 0x02, 0xff, 0xe0, RET]), None);
    // An entry that is emulated itself needs no such proof: push; jmp *%rax
    assert_eq!(at(&[0x55, 0xff, 0xe0]), Some(0));
}

#[test]
fn arguments_are_followed() {
    let held = |bytes: &[u8]| site(bytes).map(|site| site.held);
    assert_eq!(held(&[0x55, RET]), Some(ALL));
    // mov %rdi,%rsi; mov %fs:(%rax),%rdi; je: mimalloc's malloc
    let moved = [0x48, 0x89, 0xfe, 0x64, 0x48, 0x8b, 0x38, 0x74, 0x00, RET];
    assert_eq!(held(&moved), Some([None, Some(0), Some(2)]));
    // mov %rsi,%rdx; mov %rdi,%rsi; je
    assert_eq!(
        held(&[0x48, 0x89, 0xf2, 0x48, 0x89, 0xfe, 0x74, 0x00, RET]),
        Some([Some(0), Some(0), Some(1)])
    );
    // xchg %rdi,%rsi; je: no copy
    assert_eq!(
        held(&[0x48, 0x87, 0xfe, 0x74, 0x00, RET]),
        Some([None, None, Some(2)])
    );
    // mov %edi,%esi; je: half of it
    assert_eq!(
        held(&[0x89, 0xfe, 0x74, 0x00, RET]),
        Some([Some(0), None, Some(2)])
    );
    // xor %edi,%edi; je
    assert_eq!(
        held(&[0x31, 0xff, 0x74, 0x00, RET]),
        Some([None, Some(1), Some(2)])
    );
    // mul %rsi (writes %rdx); jo
    assert_eq!(
        held(&[0x48, 0xf7, 0xe6, 0x70, 0x00, RET]),
        Some([Some(0), Some(1), None])
    );
}

proptest! {
    /// Whatever the bytes are: a site is where decoding from the entry on gets to, and what the kernel
    /// emulates.
    #[test]
    fn a_site_is_an_instruction(bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
        if let Some(found) = site(&bytes) {
            let mut decoder = iced_x86::Decoder::with_ip(64, &bytes, 0x1000, iced_x86::DecoderOptions::NONE);
            let mut at = 0x1000;
            while at < found.address {
                let instruction = decoder.decode();
                prop_assert_eq!(instruction.ip(), at);
                prop_assert!(!instruction.is_invalid());
                at = instruction.next_ip();
            }
            prop_assert_eq!(at, found.address);
            let instruction = &bytes[(at - 0x1000) as usize..];
            let rex = usize::from(instruction[0] == 0x41);
            let pushes = matches!(instruction.get(rex), Some(0x50..=0x57));
            let branches = matches!(instruction[0], 0x70..=0x7f | 0x90 | 0xe8 | 0xe9 | 0xeb)
                || instruction[0] == 0x0f && matches!(instruction.get(1), Some(0x80..=0x8f))
                || instruction.starts_with(&[0x66, 0x90]);
            prop_assert!(pushes || branches, "{:x?}", instruction);
        }
    }
}
