//! Recordings of every shape that the model allows.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use proptest::option::of;
use proptest::prelude::*;

use crate::profile::{
    Bounds, ByKind, End, Frame, GivenBackLazily, Kind, Mode, Module, Process, ProcessMemory,
    Profile, Reconciliation, Resident, Sampled, Slice, Slices, Stack, Totals, Unwind, Unwinding,
    View, Walk, Weight,
};
use crate::warning::Warning;

/// A small one with every field there is.
pub fn full() -> Profile {
    let some = Weight {
        bytes: 4096,
        count: 1,
    };
    let mut by_kind = ByKind::default();
    for kind in Kind::ALL {
        by_kind.add(kind, 4096);
    }
    let mut profile = crate::write::sample::profile();
    profile.sampled = Some(Sampled {
        mean_bytes: 4096,
        samples: 1,
    });
    profile.slices = Some(Slices {
        slices: vec![
            Slice {
                begin: 1,
                share: 0.25,
                net: Some(-1),
            };
            4
        ],
        error: 0.25,
        cost: 0.5,
        granted: 0.5,
    });
    let resident = Resident {
        rss: 8192,
        anonymous: 4096,
        huge: 4096,
        swap: 4096,
        lazily_freed: 4096,
    };
    profile.reconciliation = Some(Reconciliation {
        before: resident,
        after: resident,
        explained: by_kind,
        given_back: by_kind,
        unexplained: by_kind,
        given_back_lazily: GivenBackLazily {
            not_counted: 4096,
            counted: 4096,
            of_before: 4096,
            hidden: false,
        },
        changed_while_looking: 1,
        looked_before_end: Some(0.5),
    });
    profile.stacks.truncate(2);
    for stack in &mut profile.stacks {
        stack.taken = Some(some);
        stack.unfreed = Some(some);
        stack.kind = Some(Kind::File);
        stack.frames.truncate(4);
    }
    profile
}

/// Names as programs have them, and as they should not.
fn name() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[a-c]{1,2}(<[a-c]>)?::[a-c]\\(int\\)",
        any::<String>(),
        "([a-c]|[;<>&\"' -]|\\\\|--|]]>|\u{1}|\u{7f}){0,8}",
    ]
    .boxed()
}

fn frame() -> impl Strategy<Value = Frame> {
    let place = (of(name()), of(any::<u32>()));
    (
        of(name()),
        of(name()),
        of(any::<u64>()),
        place,
        any::<bool>(),
    )
        .prop_map(|(function, module, offset, (file, line), inlined)| Frame {
            function,
            module,
            offset,
            file,
            line,
            inlined,
        })
}

fn weight() -> impl Strategy<Value = Weight> {
    let bytes = prop_oneof![Just(0), 1..10_u64, 0..1_u64 << 50];
    (bytes, 0..1_u64 << 40).prop_map(|(bytes, count)| Weight { bytes, count })
}

fn reason() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just(Cow::Borrowed("no_table")), name().prop_map(Cow::Owned),]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

/// Stacks of few frames, so that many have some in common.
fn stacks() -> impl Strategy<Value = Vec<Stack>> {
    let pool = prop::collection::vec(frame(), 1..8);
    let parts = (
        weight(),
        of(weight()),
        of(weight()),
        (of(reason()), any::<bool>()),
        of(kind()),
        prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    );
    (pool, prop::collection::vec(parts, 0..8)).prop_map(|(pool, stacks)| {
        let pool: Vec<_> = pool.into_iter().map(Arc::new).collect();
        let stacks = stacks.into_iter();
        stacks
            .map(
                |(weight, taken, unfreed, (cut, approximate), kind, frames)| Stack {
                    weight,
                    taken,
                    unfreed,
                    frames: frames
                        .iter()
                        .map(|index| index.get(&pool).clone())
                        .collect(),
                    walk: Walk { cut, approximate },
                    kind,
                },
            )
            .collect()
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Duration),
        Just(End::Interrupted),
        of(any::<i32>()).prop_map(End::Exited),
        any::<i32>().prop_map(End::Killed),
        Just(End::Exec),
        Just(End::MainThreadExited),
        name().prop_map(End::Recorded),
    ]
}

fn warning() -> impl Strategy<Value = Warning> {
    prop_oneof![
        (0..9_usize, of(any::<[u64; 2]>())).prop_map(|(slices, bounds)| Warning::Gaps {
            slices,
            percent: 12,
            bounds: bounds.map(|[at_least, at_most]| Bounds { at_least, at_most }),
        }),
        name().prop_map(|module| Warning::LateModule { module }),
        (name(), name()).prop_map(|(module, reason)| Warning::NoUnwindTable { module, reason }),
        Just(Warning::Kernel("a mistake")),
        name().prop_map(Warning::Recorded),
    ]
}

fn memory() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..1_u64 << 57]
}

fn by_kind() -> impl Strategy<Value = ByKind> {
    [memory(), memory(), memory(), memory()].prop_map(|bytes| {
        let mut by_kind = ByKind::default();
        for (kind, bytes) in Kind::ALL.into_iter().zip(bytes) {
            by_kind.add(kind, bytes);
        }
        by_kind
    })
}

fn resident() -> impl Strategy<Value = Resident> {
    [memory(), memory(), memory(), memory(), memory()].prop_map(
        |[rss, anonymous, huge, swap, lazily_freed]| Resident {
            rss,
            anonymous,
            huge,
            swap,
            lazily_freed,
        },
    )
}

fn reconciliation() -> impl Strategy<Value = Reconciliation> {
    let lazily = (memory(), memory(), memory(), any::<bool>());
    let rest = (any::<u64>(), of(0.0..1e6));
    (
        resident(),
        resident(),
        [by_kind(), by_kind(), by_kind()],
        lazily,
        rest,
    )
        .prop_map(
            |(before, after, [explained, given_back, unexplained], lazily, rest)| Reconciliation {
                before,
                after,
                explained,
                given_back,
                unexplained,
                given_back_lazily: GivenBackLazily {
                    not_counted: lazily.0,
                    counted: lazily.1,
                    of_before: lazily.2,
                    hidden: lazily.3,
                },
                changed_while_looking: rest.0,
                looked_before_end: rest.1,
            },
        )
}

fn slices() -> impl Strategy<Value = Slices> {
    let net = prop::option::weighted(0.9, -1000_i64..1_000_000_000_000);
    let slice = (any::<u64>(), 0.0..1.0_f64, net);
    let slice = slice.prop_map(|(begin, share, net)| Slice { begin, share, net });
    let slices = prop::collection::vec(slice, 1..9);
    let numbers = [0.0..1.0_f64, 0.0..3.0, 0.0..3.0];
    (slices, numbers).prop_map(|(slices, [error, cost, granted])| Slices {
        slices,
        error,
        cost,
        granted,
    })
}

fn unwinding() -> impl Strategy<Value = Unwinding> {
    let cut = prop::collection::btree_map(reason(), any::<u64>(), 0..3);
    let mode = prop::sample::select(Unwind::ALL);
    (mode, any::<[u64; 5]>(), cut).prop_map(
        |(mode, [walked, complete, approximate, lost, table_rows], cut)| Unwinding {
            mode,
            walked,
            complete,
            approximate,
            cut,
            lost,
            table_rows,
        },
    )
}

fn counters() -> impl Strategy<Value = std::collections::BTreeMap<String, u64>> {
    prop::collection::btree_map(name(), 0..1_u64 << 60, 0..4)
}

/// A recording.
pub fn profile() -> impl Strategy<Value = Profile> {
    // Boxed: strategies are large, and the stacks of test threads small.
    let what = (
        prop::sample::select(View::ALL),
        prop::sample::select(Mode::ALL),
        (any::<u32>(), name(), name()),
        prop_oneof![Just("2026-03-01T12:00:00.5Z".to_owned()), name()],
        // 46 days: nanoseconds of longer ones do not all fit into the JSON's floating point
        (0..4_000_000_u64, 0..1_000_000_000_u32),
        0..1_u64 << 40,
        end().boxed(),
    )
        .boxed();
    let sums = (
        [weight(), weight(), weight()],
        of((any::<u64>(), any::<u64>())),
        of(slices().boxed()),
        [memory(), memory(), memory(), memory()],
        of(reconciliation().boxed()),
        unwinding().boxed(),
    )
        .boxed();
    let module = (name(), of("[0-9a-f]{4,8}"));
    let module = module.prop_map(|(path, build_id)| Module { path, build_id });
    let rest = (
        counters(),
        counters(),
        prop::collection::vec(warning().boxed(), 0..3),
        prop::collection::vec(module, 0..4),
        stacks().boxed(),
    )
        .boxed();
    (what, sums, rest).prop_map(|(what, sums, rest)| {
        let (view, mode, (pid, comm, exe), started_at, (seconds, nanos), min_age, end) = what;
        let ([taken, given_back, unfreed], sampled, slices, memory, reconciliation, unwinding) =
            sums;
        let (losses, notes, warnings, modules, stacks) = rest;
        let [rss_before, rss_after, vsz_before, vsz_after] = memory;
        Profile {
            view,
            mode,
            process: Process { pid, comm, exe },
            started_at,
            duration: Duration::new(seconds, nanos),
            min_age: Duration::from_nanos(min_age),
            end,
            totals: Totals {
                taken,
                given_back,
                unfreed,
            },
            sampled: sampled.map(|(mean_bytes, samples)| Sampled {
                mean_bytes,
                samples,
            }),
            slices,
            memory: ProcessMemory {
                rss_before,
                rss_after,
                vsz_before,
                vsz_after,
            },
            reconciliation,
            unwinding,
            losses,
            notes,
            warnings,
            modules,
            stacks,
        }
    })
}
