//! Rust's containers and raw allocations, on the global allocator that the features choose. The
//! ledger is kept by the global allocator itself, which sees every layout. Speaks the protocol of
//! `ledger.h`.

mod ledger;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::collections::HashMap;
use std::hint::black_box;
use std::thread;

use ledger::{Ledger, Site};

#[cfg(not(any(feature = "jemalloc", feature = "mimalloc")))]
type Inner = std::alloc::System;
#[cfg(feature = "jemalloc")]
type Inner = tikv_jemallocator::Jemalloc;
#[cfg(feature = "mimalloc")]
type Inner = mimalloc::MiMalloc;

#[cfg(not(any(feature = "jemalloc", feature = "mimalloc")))]
const INNER: Inner = std::alloc::System;
#[cfg(feature = "jemalloc")]
const INNER: Inner = tikv_jemallocator::Jemalloc;
#[cfg(feature = "mimalloc")]
const INNER: Inner = mimalloc::MiMalloc;

#[global_allocator]
static GLOBAL: Ledger<Inner> = Ledger(INNER);

/// Defines a function of this name that does the work, with the ledger's site set meanwhile. It
/// is the only caller of the function that allocates, and keeps a frame of its own around it.
macro_rules! site {
    ($site:ident, $name:ident, $inner:ident, ($($argument:ident: $type:ty),*) -> $result:ty, $body:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn $inner($($argument: $type),*) -> $result {
            black_box($body)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        fn $name($($argument: $type),*) -> $result {
            let entered = ledger::enter(Site::$site);
            let result = black_box($inner($($argument),*));
            drop(entered);
            result
        }
    };
}

site!(Boxed, site_box, site_box_inner, (n: u64) -> Box<[u64; 5]>, Box::new([n; 5]));
site!(Vector, site_vec, site_vec_inner, (n: usize) -> Vec<u32>, {
    let mut vector = Vec::new();
    for i in 0..n {
        vector.push(black_box(i as u32));
    }
    vector
});
site!(Capacity, site_with_capacity, site_with_capacity_inner, (n: usize) -> Vec<u8>, Vec::with_capacity(n));
site!(Zeroed, site_zeroed, site_zeroed_inner, (n: usize) -> Vec<u8>, vec![0; n]);
site!(Text, site_string, site_string_inner, (n: usize) -> String, {
    let mut text = String::new();
    for _ in 0..n {
        text.push(black_box('x'));
    }
    text.shrink_to_fit();
    text
});
site!(Map, site_map, site_map_inner, (n: u64) -> HashMap<u64, String>, {
    let mut map = HashMap::new();
    for i in 0..n {
        map.insert(i, format!("value {i}"));
    }
    for i in 0..n / 2 {
        map.remove(&i);
    }
    map
});
// SAFETY (all below): the layouts are valid and not empty, and a block is resized with the layout
// it has.
site!(Raw, site_raw, site_raw_inner, (layout: Layout) -> *mut u8, unsafe { alloc(layout) });
site!(RawZeroed, site_raw_zeroed, site_raw_zeroed_inner, (layout: Layout) -> *mut u8, unsafe { alloc_zeroed(layout) });
site!(RawRealloc, site_raw_realloc, site_raw_realloc_inner, (block: *mut u8, layout: Layout, size: usize) -> *mut u8, unsafe {
    realloc(block, layout, size)
});
site!(Thread, site_thread, site_thread_inner, (n: usize) -> Vec<u64>, vec![1; n]);

/// Drops all but the first `keep` values; those are never dropped.
fn keep_some<T>(keep: usize, values: impl Iterator<Item = T>) {
    for (i, value) in values.enumerate() {
        if i < keep {
            std::mem::forget(value);
        } else {
            drop(black_box(value));
        }
    }
}

fn containers() {
    keep_some(3, (0..200).map(site_box));
    keep_some(4, (1..200).map(|i| site_vec(i * 37)));
    keep_some(5, (1..200).map(|i| site_with_capacity(i * 101)));
    keep_some(6, (1..200).map(|i| site_zeroed(i * 997)));
    keep_some(7, (1..100).map(|i| site_string(i * 13)));
    keep_some(2, (1..20).map(|i| site_map(i * 11)));
    keep_some(0, (1..20).map(|i| site_map(i)));
}

/// Blocks of every alignment up to a page, by all four functions of the allocator.
fn raw(keep: usize) {
    for (i, shift) in (0..13).cycle().take(260).enumerate() {
        let align = 1_usize << shift;
        let layout = |size| Layout::from_size_align(size, align).expect("valid");
        let first = site_raw(layout(37 + i));
        let zeroed = site_raw_zeroed(layout(53 + i * 7));
        let mut size = 37 + i;
        let mut block = first;
        for _ in 0..4 {
            let larger = size * 3 + 1;
            block = site_raw_realloc(block, layout(size), larger);
            size = larger;
        }
        block = site_raw_realloc(block, layout(size), size / 2);
        size /= 2;
        assert!(!block.is_null() && !zeroed.is_null());
        if i >= keep {
            // SAFETY: both were allocated with these layouts and are used no more.
            unsafe {
                dealloc(block, layout(size));
                dealloc(zeroed, layout(53 + i * 7));
            }
        }
    }
}

fn threads() {
    for round in 0..10 {
        let handles: Vec<_> = (0..4)
            .map(|i| {
                thread::spawn(move || {
                    (0..50)
                        .map(|k| site_thread(1 + i * 7 + k))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for handle in handles {
            // Taken on that thread, dropped on this one.
            let blocks = handle.join().expect("the thread does not panic");
            keep_some(usize::from(round == 0), blocks.into_iter());
        }
    }
}

fn main() {
    ledger::start();
    containers();
    raw(26);
    threads();
    ledger::finish();
}
