//! Closures, trait objects, panics that are caught, threads, formatting.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::panic;
use std::ptr;

unsafe extern "C" {
    fn judge_start();
    static judge_over: i32;
}

fn over() -> bool {
    // SAFETY: an aligned int that a signal handler of this process sets.
    unsafe { ptr::addr_of!(judge_over).read_volatile() != 0 }
}

trait Node {
    fn sum(&self, depth: u32) -> u64;
}

struct Leaf(u64);

struct Branch<'a>(&'a dyn Node, &'a dyn Node);

impl Node for Leaf {
    #[inline(never)]
    fn sum(&self, depth: u32) -> u64 {
        self.0.rotate_left(depth)
    }
}

impl Node for Branch<'_> {
    #[inline(never)]
    fn sum(&self, depth: u32) -> u64 {
        self.0.sum(depth + 1) ^ self.1.sum(depth + 2).wrapping_mul(31)
    }
}

#[inline(never)]
fn sorted(numbers: &mut [u64], seed: u64) -> u64 {
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = (index as u64).wrapping_mul(seed | 1).rotate_left(17);
    }
    numbers.sort_unstable_by(|a, b| (b % 1000).cmp(&(a % 1000)));
    numbers[7]
}

#[inline(never)]
fn formatted(text: &mut String, seed: u64) -> u64 {
    text.clear();
    for index in 0..10 {
        write!(text, "{seed:>24x} {:8.3} {index:?}", seed as f64 / 7.0).expect("memory");
    }
    text.parse::<f64>().map_or(text.len() as u64, |number| number as u64)
}

#[inline(never)]
fn recursive(depth: u32, act: &mut dyn FnMut(u32) -> u64) -> u64 {
    if depth == 0 {
        return act(depth);
    }
    recursive(depth - 1, act).wrapping_add(act(depth))
}

#[inline(never)]
fn caught(seed: u64) -> u64 {
    let outcome = panic::catch_unwind(|| {
        let numbers = black_box([seed; 3]);
        recursive(5, &mut |depth| numbers[depth as usize])
    });
    outcome.unwrap_or(1)
}

fn work(seed: u64) {
    let mut numbers = vec![0; 300];
    let mut text = String::with_capacity(4096);
    let leaf = Leaf(seed);
    let (one, two) = (Branch(&leaf, &leaf), Leaf(seed ^ 5));
    let three = Branch(&one, &two);
    let tree = Branch(&three, &one);
    let mut round = seed;
    while !over() {
        round = round.wrapping_add(1);
        let mut sum = 0_u64;
        for depth in 0..40 {
            sum = sum.wrapping_add(tree.sum(depth));
        }
        sum ^= recursive(15, &mut |depth| sorted(&mut numbers[..40], round ^ u64::from(depth)));
        sum ^= sorted(&mut numbers, round) ^ formatted(&mut text, round);
        // What allocates is done seldom: its time would be that of the probes.
        if round.is_multiple_of(64) {
            sum ^= caught(round);
        }
        if round.is_multiple_of(512) {
            let map: BTreeMap<u64, String> = (0..12).map(|n| (n ^ sum, n.to_string())).collect();
            sum ^= map.len() as u64;
        }
        black_box(sum);
    }
}

fn main() {
    panic::set_hook(Box::new(|_| ()));
    // SAFETY: installs a signal handler that allocates from its own arena, and reads a line.
    unsafe { judge_start() };
    std::thread::scope(|scope| {
        scope.spawn(|| work(3));
        work(1 << 40);
    });
}
