//! Where the allocator ends on a stack and the program's own code begins.

use std::sync::Arc;

use crate::profile::Frame;

/// The frames from the first that is not the allocator's on, innermost first. All of them where
/// every frame is the allocator's: a row without any name would help nobody.
pub fn ours(frames: &[Arc<Frame>]) -> &[Arc<Frame>] {
    let first = frames.iter().position(|frame| !is_allocator(frame));
    &frames[first.unwrap_or(0)..]
}

/// Whether this frame, at the inner end of a stack, is about *how* the memory was taken and not
/// about *who* took it. That is so for
///
/// - the functions of C that allocate, plain or with a prefix that a known allocator or libc
///   gives them (`malloc`, `__libc_calloc`, `_rjem_mallocx`, `tc_malloc_skip_new_handler`);
/// - every function of a shared library that is an allocator, so that their internals and
///   unnamed frames are skipped too;
/// - the global `operator new`, but not a class's own, which is somebody's code;
/// - what the standard libraries of C++ and Rust put between a container and these. The container
///   itself (`Vec::push`, `std::string::_M_create`) stays: it says what was done.
///
/// A wrapper such as `xmalloc`, `g_malloc` or `zmalloc` is not the allocator's: whether it is
/// only a wrapper cannot be known from its name. Nor is a function that merely begins like an
/// allocator's (`tc_parse_rule`).
fn is_allocator(frame: &Frame) -> bool {
    let of_library = frame.module.as_deref().is_some_and(|module| {
        let base = module.rsplit('/').next().unwrap_or(module);
        starts_with_any(base, LIBRARIES)
    });
    of_library || frame.function.as_deref().is_some_and(is_allocating)
}

fn is_allocating(function: &str) -> bool {
    let prefixed = || {
        PREFIXES.iter().any(|prefix| {
            function
                .strip_prefix(prefix)
                .is_some_and(|rest| starts_with_any(rest, FUNCTIONS) || rest.starts_with("new"))
        })
    };
    FUNCTIONS.contains(&function)
        || starts_with_any(function, PLUMBING)
        || prefixed()
        || (function.starts_with("std::_Vector_base<") && function.contains(">::_M_allocate("))
        || (function.starts_with('<') && function.contains("GlobalAlloc>::"))
}

fn starts_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

const FUNCTIONS: &[&str] = &[
    "aligned_alloc",
    "calloc",
    "malloc",
    "mallocx",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "rallocx",
    "realloc",
    "reallocarray",
    "valloc",
    "xallocx",
];

/// Before the functions above, or before `new` as tcmalloc and mimalloc spell it.
const PREFIXES: &[&str] = &[
    "_int_",
    "__GI_",
    "__GI___libc_",
    "__interceptor_",
    "__libc_",
    "__",
    "_rjem_",
    "_rjem_je_",
    "je_",
    "je_arena_",
    "mi_",
    "_mi_",
    "mi_heap_",
    "_mi_heap_",
    "rp",
    "tc_",
];

const LIBRARIES: &[&str] = &[
    "libhoard",
    "libjemalloc",
    "libmimalloc",
    "librpmalloc",
    "libsnmalloc",
    "libtcmalloc",
];

const PLUMBING: &[&str] = &[
    // C++, demangled and not
    "operator new(",
    "operator new[](",
    "_Znw",
    "_Zna",
    "std::allocator<",
    "std::allocator_traits<",
    "std::__new_allocator<",
    "std::__1::allocator<",
    "std::__1::allocator_traits<",
    "std::__1::__libcpp_",
    "__gnu_cxx::new_allocator<",
    "__gnu_cxx::__alloc_traits<",
    "tcmalloc::",
    // Rust
    "__rust_alloc",
    "__rust_realloc",
    "__rustc::__r",
    "__rdl_",
    "__rg_",
    "alloc::alloc::",
    "<alloc::alloc::Global as ",
    "alloc::raw_vec::",
    "<alloc::raw_vec::",
    "std::alloc::",
    "std::sys::alloc::",
    "<std::alloc::System as ",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample;

    #[test]
    fn allocators_are_known() {
        for function in [
            "malloc",
            "__libc_malloc",
            "_int_malloc",
            "_rjem_mallocx",
            "je_malloc_default",
            "mi_heap_malloc_aligned",
            "mi_new_nothrow",
            "tc_newarray",
            "tc_malloc_skip_new_handler",
            "rpaligned_alloc",
            "operator new(unsigned long)",
            "operator new[](unsigned long, std::align_val_t)",
            "_ZnwmSt11align_val_t",
            "std::__new_allocator<Order>::allocate(unsigned long, void const*)",
            "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
            "__rust_alloc_zeroed",
            "alloc::raw_vec::finish_grow",
            "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
            "<mimalloc::MiMalloc as core::alloc::global::GlobalAlloc>::alloc",
        ] {
            assert!(is_allocator(&sample::named(function)), "{function}");
        }
    }

    #[test]
    fn code_of_others_is_not_the_allocators() {
        for function in [
            "main",
            "zmalloc",
            "g_malloc",
            "tc_parse_rule",
            "mi_row",
            "malloc_stats_of_mine",
            "__libc_start_main",
            "Order::operator new(unsigned long)",
            "operator newish",
            "std::vector<int, std::allocator<int> >::push_back(int const&)",
            "alloc::vec::Vec<T,A>::push",
            "void std::__cxx11::basic_string<char>::_M_construct<char const*>(char const*)",
        ] {
            assert!(!is_allocator(&sample::named(function)), "{function}");
        }
    }

    #[test]
    fn unnamed_frames_of_an_allocators_library_are_the_allocators() {
        let frame = |module: &str| Frame {
            module: Some(module.to_owned()),
            offset: Some(1),
            ..Frame::default()
        };
        assert!(is_allocator(&frame("/usr/lib/libjemalloc.so.2")));
        assert!(!is_allocator(&frame("/usr/lib/libjemalloc/plugin.so")));
        assert!(!is_allocator(&Frame::default()));
    }

    #[test]
    fn only_leading_frames_are_skipped() {
        let stack = sample::stack(1, 1, &["malloc", "mine", "malloc", "main"]);
        let names: Vec<_> = ours(&stack.frames).iter().map(|f| f.label()).collect();
        assert_eq!(names, ["mine", "malloc", "main"]);
    }

    #[test]
    fn a_stack_of_nothing_but_the_allocator_is_shown_whole() {
        let stack = sample::stack(1, 1, &["malloc", "operator new(unsigned long)"]);
        assert_eq!(ours(&stack.frames).len(), 2);
        assert!(ours(&[]).is_empty());
    }
}
