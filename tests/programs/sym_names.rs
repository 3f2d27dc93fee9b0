//! Functions whose names need demangling, in either of Rust's manglings.

use std::hint::black_box;
use std::io::{BufRead as _, Write as _};

/// Rust's allocation functions are a frame or two below these: what matters is who called them.
fn take(size: usize) {
    std::mem::forget(black_box(Vec::<u8>::with_capacity(black_box(size))));
}

struct Holder<T>(T);

trait Fill {
    fn fill(&self);
}

impl<T> Fill for Holder<[T; 4]> {
    #[inline(never)]
    fn fill(&self) {
        take(1103);
    }
}

impl<T> Holder<T> {
    #[inline(never)]
    fn generic<U>(&self, _other: U) {
        take(1109);
    }
}

#[inline(never)]
fn call(closure: &dyn Fn(u8)) {
    closure(black_box(1));
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn main() {
    let mut line = String::with_capacity(100);
    say("ready");
    std::io::stdin().lock().read_line(&mut line).unwrap();
    Holder([1_u64; 4]).fill();
    Holder(1_u8).generic("text");
    call(&|_| take(1117));
    say("done");
    std::io::stdin().lock().read_line(&mut line).unwrap();
}
