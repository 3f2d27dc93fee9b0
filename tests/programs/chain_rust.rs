//! Ways on which Rust comes to its allocator: collections, trait objects, closures, a panic that
//! passes, threads. The ledger and the chains are those of the C programs (`chain_shadow.h`).

use std::alloc::{Layout, alloc};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

unsafe extern "C" {
    fn chain_enter(name: *const c_char) -> c_int;
    fn chain_leave(mark: *const c_int);
    fn chain_take(block: *mut c_void, size: usize);
    fn chain_start(argc: c_int, argv: *const *const c_char);
    fn chain_finish() -> !;
}

/// In a function, up to the end of the value.
struct In(c_int);

impl In {
    fn function(name: &'static CStr) -> Self {
        // SAFETY: the text lives as long as the program.
        Self(unsafe { chain_enter(name.as_ptr()) })
    }
}

impl Drop for In {
    fn drop(&mut self) {
        // SAFETY: what is entered is left once, in order.
        unsafe { chain_leave(&raw const self.0) }
    }
}

/// Enters the block of this size, which is not given back, at the function of this name.
fn take<T>(name: &'static CStr, size: usize, make: impl FnOnce() -> *mut T) {
    let _in = In::function(name);
    let block = make();
    // SAFETY: the block has just been taken and stays.
    unsafe { chain_take(block.cast(), size) }
}

/// A function with a frame of its own, whose symbol is its name.
macro_rules! function {
    (fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? $body:block) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn $name($($argument: $type),*) $(-> $result)? $body
    };
}

function! { fn site_box(n: u64) -> *mut [u64; 5] { Box::into_raw(black_box(Box::new([n; 5]))) } }
function! { fn site_capacity(n: usize) -> *mut u8 { black_box(Vec::with_capacity(n)).leak().as_mut_ptr() } }
function! { fn site_zeroed(n: usize) -> *mut u8 { black_box(vec![0_u8; n]).leak().as_mut_ptr() } }
function! { fn site_push(n: u32) -> *mut u32 {
    let mut numbers = Vec::new();
    for i in 0..n {
        numbers.push(black_box(i));
    }
    numbers.leak().as_mut_ptr()
} }
// SAFETY: the size is not 0.
function! { fn site_raw(layout: Layout) -> *mut u8 { black_box(unsafe { alloc(layout) }) } }

function! { fn hop_collections() {
    let _in = In::function(c"hop_collections");
    take(c">site_box", 40, || site_box(7));
    take(c">site_capacity", 313, || site_capacity(313));
    take(c">site_zeroed", 3137, || site_zeroed(3137));
    take(c">site_push", 4 * 1024, || site_push(1000));
    take(c">site_raw", 509, || site_raw(Layout::from_size_align(509, 1).unwrap()));
    take(c">site_raw", 512, || site_raw(Layout::from_size_align(512, 64).unwrap()));
} }

trait Visit {
    fn visit(&self, depth: u32);
}

struct Wide([u64; 40]);

impl Visit for Wide {
    #[inline(never)]
    fn visit(&self, depth: u32) {
        let _in = In::function(c"<chain_rust::Wide as chain_rust::Visit>::visit");
        let wide = Wide(black_box(self.0));
        if depth > 0 {
            let next: &dyn Visit = black_box(&wide);
            next.visit(depth - 1);
        } else {
            take(c">site_capacity", 331, || site_capacity(331));
        }
        black_box(&wide);
    }
}

function! { fn hop_trait() {
    let _in = In::function(c"hop_trait");
    let wide: &dyn Visit = black_box(&Wide([3; 40]));
    wide.visit(30);
} }

function! { fn hop_called(n: usize) -> bool {
    let _in = In::function(c"?hop_called");
    take(c">site_capacity", n, || site_capacity(n));
    n % 2 == 0
} }

function! { fn hop_closure() {
    let _in = In::function(c"hop_closure");
    let mut numbers = [5, 3, 9, 1, 7, 2, 8];
    numbers.sort_by_key(|n| black_box(hop_called(*n)));
    let map: BTreeMap<usize, bool> = (0..5).map(|n| (n, hop_called(n + 401))).collect();
    black_box(map);
} }

/// Takes a block while a panic passes.
struct Leaver;

impl Drop for Leaver {
    #[inline(never)]
    fn drop(&mut self) {
        let _in = In::function(c"<chain_rust::Leaver as core::ops::drop::Drop>::drop");
        take(c">site_capacity", 347, || site_capacity(347));
    }
}

function! { fn hop_panic() {
    let _in = In::function(c"?hop_panic");
    let _leaver = Leaver;
    resume_unwind(Box::new(1));
} }

function! { fn hop_catch() {
    let _in = In::function(c"hop_catch");
    assert!(catch_unwind(AssertUnwindSafe(|| black_box(hop_panic)())).is_err());
} }

function! { fn hop_thread() {
    let _in = In::function(c"hop_thread");
    take(c">site_capacity", 353, || site_capacity(353));
    hop_trait();
    hop_catch();
} }

fn main() {
    let arguments: Vec<CString> = std::env::args().map(|text| CString::new(text).unwrap()).collect();
    let pointers: Vec<*const c_char> = arguments.iter().map(|text| text.as_ptr()).collect();
    // SAFETY: as many pointers to texts that stay.
    unsafe { chain_start(pointers.len() as c_int, pointers.as_ptr()) };
    // The runtime is started by a function that the C library knows.
    let started = In::function(c"main");
    let main = In::function(c"^chain_rust::main");
    hop_collections();
    hop_trait();
    hop_closure();
    hop_catch();
    std::thread::spawn(hop_thread).join().unwrap();
    drop(main);
    drop(started);
    // SAFETY: nothing is used after it.
    unsafe { chain_finish() }
}
