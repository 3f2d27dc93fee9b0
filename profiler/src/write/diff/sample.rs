//! The comparison that the snapshots are taken of: the sample recording, and what became of it a day later.

use std::time::Duration;

use crate::profile::{Diff, Profile};
use crate::warning::Warning;
use crate::write::sample;

/// The earlier recording.
pub fn before() -> Profile {
    sample::profile()
}

/// The later one, after a restart: one stack doubled, one is gone, one is new.
pub fn after() -> Profile {
    let mut profile = sample::profile();
    profile.process.pid = 815;
    profile.started_at = "2026-03-02T12:00:00Z".to_owned();
    profile.duration = Duration::from_mins(1);
    profile.losses.clear();
    profile.warnings = vec![Warning::Kernel("the kernel <has> a mistake -- beware")];
    profile.stacks[1].weight.bytes *= 2;
    profile.stacks[1].weight.count += 500;
    profile.stacks[0].weight.bytes -= 4096;
    profile.stacks[0].weight.count -= 1;
    profile.stacks.remove(2);
    let names = [
        "malloc",
        "Leak::grow(int) const",
        "main",
        "__libc_start_main",
    ];
    profile.stacks.push(sample::stack(777_777, 7, &names));
    profile
}

/// What changed.
pub fn diff() -> Diff {
    Diff::of(&before(), &after()).unwrap()
}
