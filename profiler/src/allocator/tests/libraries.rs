//! Debian 12's allocators and C++ library: exactly these functions and no other.

use super::{Returns, check_sites, library, plan_of, returns, symbols};
use crate::allocator::Shape;

fn check(name: &str, expected: &str) -> Option<super::Plan> {
    let elf = library(name)?;
    let plan = plan_of(&elf);
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(symbols(&plan), expected.join(" "), "{name}");
    assert_eq!(plan.refused, [], "{name}");
    assert!(!plan.stripped_static, "{name}");
    check_sites(&elf, &plan);
    Some(plan)
}

fn count_of_returns(plan: &super::Plan, symbol: &str) -> usize {
    match returns(plan, symbol) {
        Returns::Instructions(sites) => sites.len(),
        other => panic!("{symbol}: {other:?}"),
    }
}

#[test]
fn glibc() {
    let expected =
        "aligned_alloc calloc free malloc posix_memalign pvalloc realloc reallocarray valloc";
    let Some(plan) = check("libc.so.6", expected) else {
        return;
    };
    for function in &plan.functions {
        let expected = match function.shape {
            Shape::Free => Returns::Ignored,
            _ => Returns::Trampoline,
        };
        assert_eq!(function.returns, expected, "{}", function.symbol);
    }
}

#[test]
fn musl() {
    let expected = "aligned_alloc calloc free malloc posix_memalign realloc reallocarray valloc";
    check("ld-musl-x86_64.so.1", expected);
}

/// What forwards is left out: `operator delete` to `free`, aligned `operator new` to
/// `aligned_alloc`, `new[]` to `new` by a jump.
#[test]
fn jemalloc() {
    let expected = "_ZdaPvm _ZdaPvmSt11align_val_t _ZdlPvm _ZdlPvmSt11align_val_t
        _Znwm _ZnwmRKSt9nothrow_t aligned_alloc calloc dallocx free malloc mallocx memalign
        posix_memalign rallocx realloc sdallocx valloc xallocx";
    let Some(plan) = check("libjemalloc.so.2", expected) else {
        return;
    };
    // Its own, that of fallback_newImpl and that of handleOOM: stripped, found by their jumps.
    assert_eq!(count_of_returns(&plan, "_Znwm"), 3);
    assert_eq!(*returns(&plan, "_ZnwmRKSt9nothrow_t"), Returns::Trampoline);
}

#[test]
fn tcmalloc() {
    let expected = "_ZdlPvRKSt9nothrow_t _ZdlPvSt11align_val_t
        _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdlPvm _ZdlPvmSt11align_val_t
        _Znwm _ZnwmRKSt9nothrow_t _ZnwmSt11align_val_t _ZnwmSt11align_val_tRKSt9nothrow_t
        aligned_alloc calloc free malloc posix_memalign pvalloc realloc tc_malloc_skip_new_handler
        valloc";
    let Some(plan) = check("libtcmalloc_minimal.so.4", expected) else {
        return;
    };
    // Its own, that of ThreadCache::FetchFromCentralCache, two of allocate_full_cpp_throw_oom:
    // those through the PLT, into this same library.
    assert_eq!(count_of_returns(&plan, "_Znwm"), 4);
    assert_eq!(count_of_returns(&plan, "_ZnwmSt11align_val_t"), 5);
}

#[test]
fn mimalloc() {
    // The aligned operators forward, but use the frame pointer's register for data meanwhile.
    let expected = "_Znwm _ZnwmRKSt9nothrow_t _ZnwmSt11align_val_t
        _ZnwmSt11align_val_tRKSt9nothrow_t aligned_alloc calloc free malloc memalign
        mi_aligned_recalloc mi_calloc_aligned mi_calloc_aligned_at
        mi_cfree mi_expand mi_malloc_aligned mi_malloc_aligned_at mi_malloc_small mi_mallocn
        mi_new_n mi_new_realloc mi_realloc_aligned mi_realloc_aligned_at mi_reallocn mi_recalloc
        mi_recalloc_aligned_at mi_rezalloc
        mi_rezalloc_aligned mi_rezalloc_aligned_at mi_zalloc mi_zalloc_aligned mi_zalloc_aligned_at
        mi_zalloc_small posix_memalign pvalloc realloc reallocarray reallocf valloc";
    let Some(plan) = check("libmimalloc.so.2.0", expected) else {
        return;
    };
    // Its own and two of mi_try_new; mi_new_n has one more of its own.
    assert_eq!(count_of_returns(&plan, "_Znwm"), 3);
    assert_eq!(count_of_returns(&plan, "mi_new_n"), 4);
}

/// It forwards, all but one: that rounds the size up before it asks `aligned_alloc`.
#[test]
fn libstdcxx() {
    let Some(plan) = check("libstdc++.so.6", "_ZnwmSt11align_val_t") else {
        return;
    };
    assert_eq!(count_of_returns(&plan, "_ZnwmSt11align_val_t"), 1);
}

/// The same symbols without code that can be read: no operator may be taken for one that no
/// exception leaves.
#[test]
fn aarch64_has_entries_only() {
    let Some(mut elf) = library("libjemalloc.so.2") else {
        return;
    };
    elf[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let plan = plan_of(&elf);
    assert_eq!(*returns(&plan, "malloc"), Returns::Trampoline);
    assert_eq!(*returns(&plan, "_ZdlPv"), Returns::Ignored);
    let refused: Vec<&str> = plan.refused.iter().map(|it| it.symbol.as_str()).collect();
    assert_eq!(
        refused,
        [
            "_Znwm",
            "_Znam",
            "_ZnwmSt11align_val_t",
            "_ZnamSt11align_val_t"
        ]
    );
}

/// Functions whose entry has no emulated instruction that stands for it, or none with the arguments where
/// a program can read them: each call of them costs a single step. By far most do have one.
#[test]
fn few_functions_are_single_stepped() {
    for (name, expected) in [
        ("libc.so.6", "reallocarray"),
        ("ld-musl-x86_64.so.1", "reallocarray"),
        ("libjemalloc.so.2", ""),
        ("libtcmalloc_minimal.so.4", ""),
        (
            "libmimalloc.so.2.0",
            "calloc mi_aligned_recalloc mi_calloc_aligned mi_calloc_aligned_at mi_mallocn
             mi_reallocn mi_recalloc mi_recalloc_aligned_at",
        ),
        ("libstdc++.so.6", ""),
    ] {
        let Some(elf) = library(name) else {
            continue;
        };
        let mut plan = plan_of(&elf);
        plan.functions.retain(|function| {
            let code = &elf[function.site.offset as usize..];
            let rex = usize::from(code[0] == 0x41);
            let emulated = matches!(code[rex], 0x50..=0x57)
                || matches!(code[0], 0x70..=0x7f | 0x90 | 0xe8 | 0xe9 | 0xeb)
                || code[0] == 0x0f && matches!(code[1], 0x80..=0x8f);
            !emulated
        });
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(symbols(&plan), expected.join(" "), "{name}");
    }
}

/// Where the arguments were passed on in other registers, the program for that is used.
#[test]
fn moved_arguments_are_found() {
    let Some(elf) = library("libmimalloc.so.2.0") else {
        return;
    };
    let plan = plan_of(&elf);
    let site = |symbol: &str| {
        let function = plan.functions.iter().find(|it| it.symbol == symbol);
        let function = function.unwrap_or_else(|| panic!("{symbol} is not in {plan:?}"));
        (function.site.offset - function.entry, function.site.shift)
    };
    // mov heap(%rip),%rax; mov %rdi,%rsi; mov %fs:(%rax),%rdi; cmp $0x400,%rsi; ja
    assert_eq!(site("malloc"), (21, 1));
    // mov %rdi,%rcx; test %rdi,%rdi; je
    assert_eq!(site("free"), (6, 0));
    // the heap, the old block, the size; then jmp
    assert_eq!(site("realloc"), (20, 1));
    // the size first, then the alignment
    assert_eq!(site("memalign"), (9, -1));
}

/// Asked for, the probes are at the entries.
#[test]
fn entries_only() {
    let Some(elf) = library("libc.so.6") else {
        return;
    };
    let hints = super::Hints {
        at_entry: true,
        ..super::Hints::default()
    };
    let plan = super::plan(&elf, &hints).unwrap();
    assert!(
        plan.functions
            .iter()
            .all(|it| it.site.offset == it.entry && it.site.shift == 0)
    );
    assert!(
        plan_of(&elf)
            .functions
            .iter()
            .any(|it| it.site.offset != it.entry)
    );
}
