//! The functions known by name: data. What the C library, the C++ language and the allocators in
//! use export for a program to call that takes or gives back a block.
//!
//! Left out on purpose:
//! - what hands out no block (`malloc_usable_size`, `nallocx`, `malloc_trim`, `mallctl`), and what
//!   calls one of these for its block (`strdup`, `getline`, `asprintf`);
//! - functions of a heap object, whose size is not where any shape expects it (`mi_heap_*`,
//!   `rpmalloc_heap_*`), and those with a signature of their own (`reallocarr`, `mi_strdup`,
//!   `rpaligned_realloc`, `sn_rust_realloc`);
//! - the loader's `__minimal_malloc`, whose blocks live and die before the program begins.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Shape::{
    self, Count, Free, OutPointer, Realloc, ReallocArray, Resize, Size, SizeSecond,
};

/// What kind of name it is: in doubt which of two names for one function to show, the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The C library's: what every caller means who names no allocator. Always probed.
    C,
    /// A name with the prefix that the user asked for. Always probed.
    Asked,
    /// `operator new` and `operator delete`: often only a way to `malloc`.
    Cpp,
    /// An allocator's own name.
    Own,
    /// A prefix before a name of the C library, such that the module defines the usual four.
    Guessed,
}

/// What a name says about its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// How it takes its arguments.
    pub shape: Shape,
    /// What kind of name it is.
    pub kind: Kind,
    /// Whether an exception may pass through it: `std::bad_alloc` or what a new-handler throws.
    pub throws: bool,
}

/// The names that a prefix may stand before: the C library's and jemalloc's.
pub const API: &[(&str, Shape)] = &[
    ("malloc", Size),
    ("calloc", Count),
    ("realloc", Realloc),
    ("free", Free),
    ("reallocarray", ReallocArray),
    ("reallocf", Realloc),
    ("posix_memalign", OutPointer),
    ("aligned_alloc", SizeSecond),
    ("memalign", SizeSecond),
    ("valloc", Size),
    ("pvalloc", Size),
    ("cfree", Free),
    ("free_sized", Free),
    ("free_aligned_sized", Free),
    ("mallocx", Size),
    ("rallocx", Realloc),
    ("xallocx", Resize),
    ("dallocx", Free),
    ("sdallocx", Free),
];

/// Of `API`, those that a module must define for a prefix to be believed: its first four.
pub const USUAL: usize = 4;

/// Prefixes of known allocators: believed even when names are missing (the linker drops what
/// nobody calls). jemalloc as Debian's, as others' and as Rust's `tikv-jemallocator` builds it;
/// mimalloc; gperftools; the C library's own aliases.
const PREFIXES: &[&str] = &["je_", "_rjem_", "mi_", "tc_", "__libc_"];

/// Prefixes that look like an allocator and are not one for the program: parts of the C library.
pub const NOT_PREFIXES: &[&str] = &["__minimal_", "__rtld_", "_int_"];

/// mimalloc's, beside `mi_` before the C names.
const MIMALLOC: &[(&str, Shape)] = &[
    ("malloc_small", Size),
    ("zalloc", Size),
    ("zalloc_small", Size),
    ("mallocn", Count),
    ("malloc_aligned", Size),
    ("malloc_aligned_at", Size),
    ("zalloc_aligned", Size),
    ("zalloc_aligned_at", Size),
    ("calloc_aligned", Count),
    ("calloc_aligned_at", Count),
    ("umalloc", Size),
    ("umalloc_small", Size),
    ("umalloc_aligned", Size),
    ("uzalloc", Size),
    ("uzalloc_small", Size),
    ("uzalloc_aligned", Size),
    ("ucalloc", Count),
    ("ucalloc_aligned", Count),
    ("urealloc", Realloc),
    ("ufree", Free),
    // In place or not at all: null where it did not, the old block where it did.
    ("expand", Realloc),
    ("_expand", Realloc),
    ("rezalloc", Realloc),
    ("reallocn", ReallocArray),
    ("recalloc", ReallocArray),
    ("realloc_aligned", Realloc),
    ("realloc_aligned_at", Realloc),
    ("rezalloc_aligned", Realloc),
    ("rezalloc_aligned_at", Realloc),
    ("recalloc_aligned", ReallocArray),
    ("recalloc_aligned_at", ReallocArray),
    ("aligned_recalloc", ReallocArray),
    ("aligned_offset_recalloc", ReallocArray),
    ("free_size", Free),
    ("free_size_aligned", Free),
    ("free_aligned", Free),
    ("free_small", Free),
    ("new_nothrow", Size),
    ("new_aligned_nothrow", Size),
];

/// mimalloc's that call the new-handler, which may throw.
const MIMALLOC_THROWING: &[(&str, Shape)] = &[
    ("new", Size),
    ("new_aligned", Size),
    ("new_n", Count),
    ("new_realloc", Realloc),
    ("new_reallocn", ReallocArray),
];

/// gperftools', beside `tc_` before the C names.
const TCMALLOC: &[(&str, Shape)] = &[
    ("malloc_skip_new_handler", Size),
    ("new_nothrow", Size),
    ("newarray_nothrow", Size),
    ("new_aligned_nothrow", Size),
    ("newarray_aligned_nothrow", Size),
    ("delete", Free),
    ("deletearray", Free),
    ("delete_sized", Free),
    ("deletearray_sized", Free),
    ("delete_nothrow", Free),
    ("deletearray_nothrow", Free),
    ("delete_aligned", Free),
    ("deletearray_aligned", Free),
    ("delete_sized_aligned", Free),
    ("deletearray_sized_aligned", Free),
    ("delete_aligned_nothrow", Free),
    ("deletearray_aligned_nothrow", Free),
];

const TCMALLOC_THROWING: &[(&str, Shape)] = &[
    ("new", Size),
    ("newarray", Size),
    ("new_aligned", Size),
    ("newarray_aligned", Size),
];

/// What no prefix makes: mimalloc's other exports, rpmalloc's, snmalloc's for Rust, Google tcmalloc's.
const OTHERS: &[(&str, Shape)] = &[
    ("_aligned_malloc", Size),
    ("vfree", Free),
    ("__posix_memalign", OutPointer),
    ("rpzalloc", Size),
    ("rpaligned_zalloc", SizeSecond),
    ("sn_rust_alloc", SizeSecond),
    ("sn_rust_alloc_zeroed", SizeSecond),
    ("sn_rust_dealloc", Free),
];

/// Google tcmalloc's, which a compiler may call: they return the block and its true size.
const OTHERS_THROWING: &[(&str, Shape)] = &[
    ("__size_returning_new", Size),
    ("__size_returning_new_aligned", Size),
    ("__size_returning_new_hot_cold", Size),
    ("__size_returning_new_aligned_hot_cold", Size),
];

/// What the arguments after the size, or after the block, may be: mangled. `12__hot_cold_t` is
/// Google tcmalloc's, called by clang with memory profiling.
const NEW_ARGUMENTS: &[&str] = &[
    "",
    "St11align_val_t",
    "12__hot_cold_t",
    "St11align_val_t12__hot_cold_t",
];
const NEW_ARGUMENTS_NOTHROW: &[&str] = &[
    "RKSt9nothrow_t",
    "St11align_val_tRKSt9nothrow_t",
    "RKSt9nothrow_t12__hot_cold_t",
    "St11align_val_tRKSt9nothrow_t12__hot_cold_t",
];
const DELETE_ARGUMENTS: &[&str] = &[
    "",
    "m",
    "St11align_val_t",
    "mSt11align_val_t",
    "RKSt9nothrow_t",
    "St11align_val_tRKSt9nothrow_t",
];

static KNOWN: LazyLock<HashMap<String, Known>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    let mut put = |name: String, shape: Shape, kind: Kind, throws: bool| {
        known.insert(
            name,
            Known {
                shape,
                kind,
                throws,
            },
        );
    };
    for (name, shape) in API {
        put((*name).to_owned(), *shape, Kind::C, false);
        for prefix in PREFIXES {
            put(format!("{prefix}{name}"), *shape, Kind::Own, false);
        }
    }
    let families = [
        ("mi_", MIMALLOC, false),
        ("mi_", MIMALLOC_THROWING, true),
        ("tc_", TCMALLOC, false),
        ("tc_", TCMALLOC_THROWING, true),
        ("", OTHERS, false),
        ("", OTHERS_THROWING, true),
    ];
    for (prefix, names, throws) in families {
        for (name, shape) in names {
            put(format!("{prefix}{name}"), *shape, Kind::Own, throws);
        }
    }
    for operator in ["_Znwm", "_Znam"] {
        for (arguments, throws) in [(NEW_ARGUMENTS, true), (NEW_ARGUMENTS_NOTHROW, false)] {
            for arguments in arguments {
                put(format!("{operator}{arguments}"), Size, Kind::Cpp, throws);
            }
        }
    }
    for operator in ["_ZdlPv", "_ZdaPv"] {
        for arguments in DELETE_ARGUMENTS {
            put(format!("{operator}{arguments}"), Free, Kind::Cpp, false);
        }
    }
    known
});

/// What is known of a name, without any prefix that only the module at hand could explain.
pub fn known(name: &str) -> Option<Known> {
    KNOWN.get(name).copied()
}

/// The longest name in the table.
pub static LONGEST: LazyLock<usize> =
    LazyLock::new(|| KNOWN.keys().map(String::len).max().unwrap_or(0));
