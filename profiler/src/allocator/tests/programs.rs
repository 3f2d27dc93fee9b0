//! Programs built here: what is linked statically, what a program defines for itself, wrappers.

use super::{Hints, Returns, Shape, build, check_sites, plan, plan_of, returns, symbols};

const NEW: &str = "
    #include <new>
    #include <cstdio>
    struct alignas(64) Wide { char bytes[64]; };
    int main(int n, char **) {
        int *array = new int[n], *one = new (std::nothrow) int;
        Wide *wide = new Wide;
        std::printf(\"%p %p %p\", (void *)array, (void *)one, (void *)wide);
        delete[] array;
        delete one;
        delete wide;
    }";

/// `operator new` that hands out blocks inside of malloc's.
const HEADER: &str = "
    #include <new>
    #include <cstdlib>
    #include <cstdio>
    void *operator new(std::size_t n) {
        char *p = (char *)std::malloc(n + 16);
        if (!p) throw std::bad_alloc();
        return p + 16;
    }
    void operator delete(void *p) noexcept { if (p) std::free((char *)p - 16); }
    void operator delete(void *p, std::size_t) noexcept { if (p) std::free((char *)p - 16); }
    int main() { int *p = new int; std::printf(\"%p\", (void *)p); delete p; }";

/// Wrappers as redis has them (zcalloc with one argument!), and an allocator of its own.
const PREFIXES: &str = "
    #include <stdlib.h>
    #include <stdio.h>
    #define API __attribute__((noinline))
    size_t used;
    API static void *inner(size_t n) { void *p = malloc(n); used += n; return p; }
    API void *zmalloc(size_t n) { void *p = inner(n); if (!p) abort(); return p; }
    API void *zcalloc(size_t n) { void *p = calloc(1, n); used += n; return p; }
    API void *zrealloc(void *o, size_t n) { return realloc(o, n); }
    API void zfree(void *p) { if (p) { used--; free(p); } }
    API void *some_malloc(size_t n) { return malloc(n + 8); }
    char arena[1 << 20]; size_t top;
    API void *my_malloc(size_t n) { void *p = arena + top; top += n; return p; }
    API void *my_calloc(size_t a, size_t b) { return my_malloc(a * b); }
    API void *my_realloc(void *o, size_t n) { used -= o != 0; return my_malloc(n); }
    API void my_free(void *p) { used -= p != 0; }
    int main(void) {
        zfree(zrealloc(zmalloc(1), 2)); zfree(zcalloc(3)); free(some_malloc(1));
        my_free(my_realloc(my_calloc(1, 2), 3)); printf(\"%zu\", used);
    }";

/// An allocator as they are: a list of free blocks, and what to do when there is none.
const ALLOCATOR: &str = "
    #include <stdint.h>
    #include <stdio.h>
    #include <string.h>
    #define API __attribute__((noinline, noclone, used))
    struct block { struct block *next; size_t size; } *list;
    char arena[1 << 20]; size_t top; long counts[4];
    API void *more(size_t n) {
        if (n > sizeof arena - top) { counts[3]++; return 0; }
        struct block *b = (struct block *)(arena + top);
        top += sizeof *b + n; b->size = n;
        return b + 1;
    }
    API void *my_malloc(size_t n) {
        n = (n + 15) & ~(size_t)15;
        for (struct block **b = &list; *b; b = &(*b)->next)
            if ((*b)->size >= n) { struct block *it = *b; *b = it->next; return it + 1; }
        return more(n);
    }
    API void my_free(void *p) {
        if (!p) return;
        struct block *b = (struct block *)p - 1;
        b->next = list; list = b; counts[0]++;
    }
    API void *my_calloc(size_t a, size_t n) {
        size_t size;
        if (__builtin_mul_overflow(a, n, &size)) return 0;
        void *p = my_malloc(size);
        return p ? memset(p, 0, size) : p;
    }
    API void *my_realloc(void *o, size_t n) {
        if (!o) return my_malloc(n);
        void *p = my_malloc(n);
        if (!p) { counts[1]++; return p; }
        size_t old = ((struct block *)o - 1)->size;
        memcpy(p, o, old < n ? old : n); my_free(o);
        return p;
    }
    int main(void) {
        my_free(my_realloc(my_calloc(1, 2), 300)); printf(\"%zu %ld\", top, counts[0]);
    }";

const C: &str = "aligned_alloc calloc free malloc posix_memalign pvalloc realloc valloc";

#[test]
fn dynamic_program_has_nothing_to_probe() {
    assert_eq!(
        plan_of(&build("g++", &["-O2"], NEW)),
        super::Plan::default()
    );
}

/// Operators forward to the C functions in the same file, as in the shared library.
#[test]
fn static_program() {
    for arguments in [["-O2", "-static"], ["-O0", "-static-pie"]] {
        let elf = build("g++", &arguments, NEW);
        let plan = plan_of(&elf);
        let operators = "_ZnwmSt11align_val_t";
        assert_eq!(symbols(&plan), format!("{operators} {C}"), "{arguments:?}");
        assert_eq!(plan.refused, []);
        check_sites(&elf, &plan);
    }
}

#[test]
fn stripped_static_program_is_said_to_be_one() {
    for arguments in [["-s", "-static"], ["-s", "-static-pie"]] {
        let plan = plan_of(&build("gcc", &arguments, "int main(void) { return 0; }"));
        assert!(plan.stripped_static, "{arguments:?}");
        assert_eq!(plan.functions, []);
    }
    assert!(!plan_of(&build("gcc", &["-s"], "int main(void) { return 0; }")).stripped_static);
    assert!(!plan_of(&build("gcc", &["-static"], "int main(void) { return 0; }")).stripped_static);
}

/// Its blocks are not malloc's, nor are its sizes: `malloc` alone would tell neither.
#[test]
fn operators_that_add_a_header_are_probed() {
    for arguments in [
        ["-O2", "-fno-inline"],
        ["-O0", "-fno-inline"],
        ["-O2", "-static"],
    ] {
        let elf = build("g++", &arguments, HEADER);
        let plan = plan_of(&elf);
        let found = symbols(&plan);
        assert!(
            found.starts_with("_ZdlPv _ZdlPvm _Znwm"),
            "{arguments:?}: {found}"
        );
        assert!(matches!(returns(&plan, "_Znwm"), Returns::Instructions(_)));
        check_sites(&elf, &plan);
    }
}

#[test]
fn wrappers_are_not_allocators() {
    for (compiler, arguments) in [("gcc", ["-O2", "-g0"]), ("gcc", ["-O0", "-g0"])] {
        let elf = build(compiler, &arguments, PREFIXES);
        assert_eq!(
            symbols(&plan_of(&elf)),
            "my_free my_malloc my_realloc",
            "{arguments:?}"
        );
    }
    let elf = build("musl-gcc", &["-O2", "-static"], PREFIXES);
    let expected = "__libc_malloc calloc free malloc my_free my_malloc my_realloc realloc";
    assert_eq!(symbols(&plan_of(&elf)), expected);
}

/// Even if it wraps malloc, and if there is no `some_free`.
#[test]
fn prefix_that_is_asked_for_is_probed() {
    let elf = build("gcc", &["-O2"], PREFIXES);
    let hints = Hints {
        prefix: Some("some_".to_owned()),
        ..Hints::default()
    };
    let plan = plan(&elf, &hints).unwrap();
    assert_eq!(symbols(&plan), "my_free my_malloc my_realloc some_malloc");
    let function = plan
        .functions
        .iter()
        .find(|it| it.symbol == "some_malloc")
        .unwrap();
    assert_eq!(
        (function.shape, &function.returns),
        (Shape::Size, &Returns::Trampoline)
    );
}

/// A jump through a pointer can end anywhere: its return cannot be probed, and it says so.
#[test]
fn tail_calls_into_the_unknown_are_refused() {
    let source = "
        #include <new>
        void *(*allocate)(std::size_t);
        void *operator new(std::size_t n) { return allocate(n); }
        void *operator new[](std::size_t n) { return allocate(n + 1) ?: throw std::bad_alloc(); }
        int main() { return *new int + *new int[2]; }";
    let elf = build("g++", &["-O2"], source);
    let plan = plan_of(&elf);
    assert_eq!(symbols(&plan), "_Znam");
    assert_eq!(plan.refused.len(), 1);
    assert_eq!(plan.refused[0].symbol, "_Znwm");
    assert!(
        plan.refused[0].reason.contains("leads where only it knows"),
        "{plan:?}"
    );
    check_sites(&elf, &plan);
}

/// No jump leads to what an exception handler does: the unwinder does.
#[test]
fn returns_behind_exception_handlers_are_found() {
    let source = "
        #include <new>
        char arena[1 << 16];
        std::size_t tries;
        __attribute__((noinline)) void look() { if (++tries > 9) throw 1; }
        void *operator new(std::size_t) { try { for (;;) look(); } catch (int) { return arena; } }
        int main() { return *new int; }";
    let elf = build("g++", &["-O2", "-fno-inline"], source);
    let plan = plan_of(&elf);
    let Returns::Instructions(sites) = returns(&plan, "_Znwm") else {
        panic!("{plan:?}");
    };
    assert_eq!(sites.len(), 1, "{sites:x?}");
    check_sites(&elf, &plan);
}

/// Whatever the compiler makes of the beginning of a function, most have a site that is emulated.
#[test]
fn every_level_of_optimization_has_sites() {
    let hints = Hints {
        prefix: Some("my_".to_owned()),
        ..Hints::default()
    };
    for level in ["-O0", "-O1", "-O2", "-O3", "-Os"] {
        for protection in ["-fcf-protection=full", "-fcf-protection=none"] {
            for frames in ["-fno-omit-frame-pointer", "-fomit-frame-pointer"] {
                let flags = [level, protection, frames];
                let elf = build("gcc", &flags, ALLOCATOR);
                let plan = plan(&elf, &hints).unwrap();
                let names = "my_calloc my_free my_malloc my_realloc";
                assert_eq!(symbols(&plan), names, "{flags:?}");
                check_sites(&elf, &plan);
                let stepped = plan.functions.iter().filter(|it| it.site.single_stepped);
                let stepped: Vec<_> = stepped.map(|it| it.symbol.as_str()).collect();
                let most = match (level, frames) {
                    // Each begins with a push.
                    ("-O0", "-fno-omit-frame-pointer") => 0,
                    // The stack pointer is moved first.
                    ("-O0", _) => 3,
                    ("-Os", "-fomit-frame-pointer") => 2,
                    // A function that calls none may have neither a push nor a branch.
                    _ => 1,
                };
                assert!(stepped.len() <= most, "{flags:?}: {stepped:?}");
            }
        }
    }
}
