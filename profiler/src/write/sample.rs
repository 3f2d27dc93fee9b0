//! The profile that the snapshots of all formats are taken of: a C++ service with every kind of
//! frame and of warning in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::profile::{
    Bounds, End, Frame, Mode, Module, Process, ProcessMemory, Profile, Slice, Slices, Stack,
    Totals, Unwind, Unwinding, View, Walk, Weight,
};
use crate::warning::Warning;

/// A frame of which only the name is known.
pub fn named(function: &str) -> Arc<Frame> {
    Arc::new(Frame {
        function: Some(function.to_owned()),
        ..Frame::default()
    })
}

/// A stack from names, innermost first.
pub fn stack(bytes: u64, count: u64, functions: &[&str]) -> Stack {
    Stack {
        weight: Weight { bytes, count },
        taken: None,
        unfreed: None,
        frames: functions.iter().map(|function| named(function)).collect(),
        walk: Walk::default(),
        kind: None,
    }
}

/// The profile without any stack.
pub fn empty() -> Profile {
    Profile {
        totals: Totals::default(),
        unwinding: Unwinding::default(),
        losses: BTreeMap::from([("live_full".to_owned(), 0)]),
        notes: BTreeMap::new(),
        warnings: Vec::new(),
        modules: Vec::new(),
        stacks: Vec::new(),
        ..profile()
    }
}

/// The profile with gaps: of its 3,024 blocks 3,008 are unfreed at least.
pub fn gaps() -> Profile {
    let slice = Slice {
        begin: 5,
        share: 1.0 / 64.0,
        net: Some(47),
    };
    let slices = Slices {
        slices: vec![slice; 4],
        error: 0.0,
        cost: 0.049,
        granted: 0.05,
    };
    let mut profile = profile();
    profile.min_age = Duration::ZERO;
    profile.warnings = vec![Warning::Gaps {
        slices: 4,
        percent: slices.error_percent(),
        bounds: Bounds::of(&slices, profile.totals.unfreed.count),
    }];
    profile.slices = Some(slices);
    profile
}

/// The profile.
pub fn profile() -> Profile {
    let stacks = stacks();
    let mut unfreed = Weight::default();
    for stack in &stacks {
        unfreed += stack.weight;
    }
    let given_back = Weight {
        bytes: 400_000_001,
        count: 123_456,
    };
    let mut taken = unfreed;
    taken += given_back;
    Profile {
        view: View::Heap,
        mode: Mode::Unfreed,
        process: Process {
            pid: 4711,
            comm: "storefront".to_owned(),
            exe: "/srv/shop/bin/storefront".to_owned(),
        },
        started_at: "2026-03-01T12:00:00Z".to_owned(),
        duration: Duration::from_millis(10_250),
        min_age: Duration::from_millis(500),
        end: End::Duration,
        totals: Totals {
            taken,
            given_back,
            unfreed,
        },
        sampled: None,
        slices: None,
        memory: ProcessMemory {
            rss_before: 100 << 20,
            rss_after: 131 << 20,
            vsz_before: 900 << 20,
            vsz_after: 964 << 20,
        },
        reconciliation: None,
        unwinding: Unwinding {
            mode: Unwind::Auto,
            walked: taken.count,
            complete: taken.count - 5,
            approximate: 2,
            cut: BTreeMap::from([("depth".into(), 2), ("no_table".into(), 3)]),
            lost: 0,
            table_rows: 54_321,
        },
        losses: BTreeMap::from([
            ("live_full".to_owned(), 0),
            ("stack_truncated".to_owned(), 2),
        ]),
        notes: BTreeMap::from([("left_by_exception".to_owned(), 1)]),
        warnings: vec![
            Warning::Lost {
                reason: "stack_truncated",
                count: 2,
                advice: "their outer callers are missing; the bytes are exact",
            },
            Warning::LateModule {
                module: "/usr/lib/<plug&in>--.so".to_owned(),
            },
        ],
        modules: vec![
            Module {
                path: "/srv/shop/bin/storefront".to_owned(),
                build_id: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            },
            Module {
                path: "/usr/lib/x86_64-linux-gnu/libc.so.6".to_owned(),
                build_id: None,
            },
        ],
        stacks,
    }
}

fn stacks() -> Vec<Stack> {
    let binary = |function: &str, offset, file: &str, line, inlined| {
        Arc::new(Frame {
            function: Some(function.to_owned()),
            module: Some("/srv/shop/bin/storefront".to_owned()),
            offset: Some(offset),
            file: Some(format!("/build/shop/src/{file}")),
            line: Some(line),
            inlined,
        })
    };
    let libc = |function: &str, offset| {
        Arc::new(Frame {
            function: Some(function.to_owned()),
            module: Some("/usr/lib/x86_64-linux-gnu/libc.so.6".to_owned()),
            offset: Some(offset),
            ..Frame::default()
        })
    };
    let malloc = libc("malloc", 0x99ec0);
    let new = named("operator new(unsigned long)");
    let allocate = named(
        "std::__new_allocator<std::_Rb_tree_node<std::pair<std::__cxx11::basic_string<char, \
         std::char_traits<char>, std::allocator<char> > const, Order> > >::allocate(unsigned long, \
         void const*)",
    );
    let insert = binary(
        "Cache::insert(std::string const&)",
        0x4a10,
        "cache.cpp",
        87,
        true,
    );
    let handle = binary(
        "void handle<Checkout, std::vector<int, std::allocator<int> > >(Request const&)",
        0x4a10,
        "handler.cpp",
        31,
        false,
    );
    let elsewhere = binary("Server::run()", 0x5120, "server.cpp", 12, false);
    let run = binary("Server::run()", 0x5100, "server.cpp", 9, false);
    let main = binary("main", 0x2000, "main.cpp", 5, false);
    let start = libc("__libc_start_main", 0x27200);
    let plugin = Arc::new(Frame {
        module: Some("/opt/plug in/libplugin.so".to_owned()),
        offset: Some(0x1a2b),
        ..Frame::default()
    });
    let nowhere = Arc::new(Frame {
        offset: Some(0x7f00_dead_beef),
        ..Frame::default()
    });

    let stack = |bytes, count, frames: &[&Arc<Frame>]| Stack {
        weight: Weight { bytes, count },
        taken: None,
        unfreed: None,
        frames: frames.iter().map(|&frame| Arc::clone(frame)).collect(),
        walk: Walk {
            cut: (count == 1).then_some("no_table".into()),
            approximate: count == 1,
        },
        kind: None,
    };
    vec![
        stack(
            25_999_909,
            13,
            &[
                &malloc, &new, &allocate, &insert, &handle, &run, &main, &start,
            ],
        ),
        stack(
            3_000_000,
            3000,
            &[
                &malloc, &new, &allocate, &insert, &handle, &elsewhere, &main, &start,
            ],
        ),
        stack(
            70_000,
            7,
            &[
                &libc("calloc", 0x9a000),
                &named("<alloc::vec::Vec<[u8; 32]> as shop::Basket>::fill 7"),
                &named("std::vector<int, std::allocator<int> >& operator<< <int>(std::ostream&)"),
                &main,
                &start,
            ],
        ),
        stack(4096, 1, &[&malloc, &plugin, &nowhere]),
        stack(0, 3, &[&malloc, &named("ask_for_nothing"), &main, &start]),
    ]
}
