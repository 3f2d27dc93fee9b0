//! The table itself.

use crate::allocator::Shape;
use crate::allocator::names::{Kind, known};

#[test]
fn names_have_the_shape_of_their_signature() {
    let cases = [
        ("malloc", Shape::Size, false),
        ("__libc_memalign", Shape::SizeSecond, false),
        ("_rjem_mallocx", Shape::Size, false),
        ("_rjem_sdallocx", Shape::Free, false),
        ("je_xallocx", Shape::Resize, false),
        ("mi_malloc_aligned", Shape::Size, false),
        ("mi_aligned_alloc", Shape::SizeSecond, false),
        ("mi_new_n", Shape::Count, true),
        ("mi_recalloc", Shape::ReallocArray, false),
        ("tc_new", Shape::Size, true),
        ("tc_newarray_nothrow", Shape::Size, false),
        ("tc_free_sized", Shape::Free, false),
        ("_ZnwmSt11align_val_t", Shape::Size, true),
        ("_ZnamSt11align_val_tRKSt9nothrow_t", Shape::Size, false),
        ("_ZdaPvmSt11align_val_t", Shape::Free, false),
    ];
    for (name, shape, throws) in cases {
        let found = known(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((found.shape, found.throws), (shape, throws), "{name}");
    }
}

#[test]
fn what_takes_no_block_is_not_known() {
    for name in [
        "malloc_usable_size",
        "nallocx",
        "sallocx",
        "strdup",
        "mi_heap_malloc",
        "__minimal_malloc",
        "_Znwj",
    ] {
        assert_eq!(known(name), None, "{name}");
    }
}

#[test]
fn public_names_come_first() {
    assert!(Kind::C < Kind::Asked && Kind::Asked < Kind::Cpp && Kind::Cpp < Kind::Own);
    assert!(Kind::Own < Kind::Guessed);
}
