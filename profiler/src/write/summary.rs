//! The sentences about a recording that more than one format holds.

use crate::profile::{Bounds, Mode, Profile, Sampled, Unwind, Unwinding, View, Weight};

use super::{human, name};

/// What a weight of this view is counted in, in the singular.
pub fn noun(view: View) -> &'static str {
    match view {
        View::Heap => "block",
        View::Pages => "page",
    }
}

/// `27.75 MiB in 3,456 blocks`.
pub fn weight(weight: Weight, view: View) -> String {
    format!(
        "{} in {}",
        human::bytes(weight.bytes),
        human::counted(weight.count, noun(view))
    )
}

/// `redis-server (pid 1234)`.
pub fn process(profile: &Profile) -> String {
    let process = &profile.process;
    format!("{} (pid {})", name::clean(&process.comm), process.pid)
}

/// The sum that the stacks of the profile are parts of.
pub fn total(profile: &Profile) -> Weight {
    match profile.mode {
        Mode::Unfreed => profile.totals.unfreed,
        Mode::All => profile.totals.taken,
    }
}

/// How blocks were sampled: `one byte of 512.00 KiB; all numbers are estimates, what is unfreed from 96 blocks`.
pub fn sampled(profile: &Profile) -> Option<String> {
    let Sampled {
        mean_bytes,
        samples,
    } = profile.sampled?;
    Some(format!(
        "one byte of {}; all numbers are estimates, what is unfreed from {}",
        human::bytes(mean_bytes),
        human::counted(samples, noun(profile.view))
    ))
}

/// What a bound on the cost came to: `4.9% of what it did, in 6 slices, at a cost of 5.0% of its CPU time (5.0%
/// granted); all numbers are estimates`.
pub fn observed(profile: &Profile) -> Option<String> {
    let slices = profile.slices.as_ref()?;
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let cost = format!(
        "at a cost of {} of its CPU time ({} granted)",
        percent(slices.cost),
        percent(slices.granted)
    );
    if slices.is_whole() {
        return Some(format!("all of what it did, {cost}"));
    }
    let bounds = profile.bounds().map(|bounds| {
        let between = between(bounds, profile.view);
        format!(", of what is unfreed upper bounds ({between} in all)")
    });
    Some(format!(
        "{} of what it did, in {}, {cost}; all numbers are estimates{}",
        percent(slices.share()),
        human::counted(slices.slices.len() as u64, "slice"),
        bounds.unwrap_or_default()
    ))
}

/// `between 70,000 and 1,200,000 blocks`.
fn between(Bounds { at_least, at_most }: Bounds, view: View) -> String {
    let at_most = human::counted(at_most, noun(view));
    format!("between {} and {at_most}", human::count(at_least))
}

/// What is unfreed, all stacks together: `27.75 MiB in 3,456 blocks`. Where that is an upper bound: `between 70,000 and
/// 1,200,000 blocks, at most 27.75 MiB; each stack has at most the bytes and blocks that are shown`.
pub fn unfreed(profile: &Profile) -> String {
    let Some(bounds) = profile.bounds() else {
        return weight(profile.totals.unfreed, profile.view);
    };
    let by_stack = match profile.bounds_by_stack() {
        Some(_) => "; each stack has at most the bytes and blocks that are shown",
        None => "",
    };
    format!(
        "{}, at most {}{by_stack}",
        between(bounds, profile.view),
        human::bytes(profile.totals.unfreed.bytes)
    )
}

/// What to say when there is nothing to show.
pub fn nothing(profile: &Profile) -> &'static str {
    match profile.mode {
        Mode::Unfreed => "nothing was unfreed",
        Mode::All => "nothing was taken",
    }
}

/// The kernel's account next to ours: `RSS grew by 30.10 MiB; unfreed 27.75 MiB`.
pub fn reconciliation(profile: &Profile) -> String {
    let memory = &profile.memory;
    let (before, after) = (memory.rss_before, memory.rss_after);
    let change = if before == 0 && after == 0 {
        "the change of RSS is not known".to_owned()
    } else if after > before {
        format!("RSS grew by {}", human::bytes(after - before))
    } else if after < before {
        format!("RSS shrank by {}", human::bytes(before - after))
    } else {
        "RSS did not change".to_owned()
    };
    format!(
        "{change}; unfreed {}",
        human::bytes(profile.totals.unfreed.bytes)
    )
}

/// `nothing was lost`, or how many events, by reason: `3 events were lost (live_full 3)`.
pub fn losses(profile: &Profile) -> String {
    let lost = profile.lost();
    if lost == 0 {
        return "nothing was lost".to_owned();
    }
    let reasons = nonzero(&profile.losses);
    let were = if lost == 1 { "was" } else { "were" };
    format!("{} {were} lost ({reasons})", human::counted(lost, "event"))
}

/// How many of the stacks are whole: `99.9% whole`.
pub fn whole(profile: &Profile) -> String {
    let Unwinding {
        walked, complete, ..
    } = profile.unwinding;
    if walked == 0 {
        return "none was walked".to_owned();
    }
    format!("{} whole", human::share(complete, walked))
}

/// The same with the reasons: `99.9% whole; cut: depth 2, no_table 3; 0.1% in part by frame pointers`.
pub fn stacks(profile: &Profile) -> String {
    let Unwinding {
        mode,
        walked,
        complete: _,
        approximate,
        cut,
        lost,
        table_rows: _,
    } = &profile.unwinding;
    let mut text = whole(profile);
    let mut reasons = cut
        .iter()
        .map(|(reason, count)| format!("{} {}", name::clean(reason), human::count(*count)))
        .collect::<Vec<_>>();
    if *lost > 0 {
        reasons.push(format!("lost {}", human::count(*lost)));
    }
    if !reasons.is_empty() {
        text = format!("{text}; cut: {}", reasons.join(", "));
    }
    if *approximate > 0 {
        let share = human::share(*approximate, *walked);
        text = format!("{text}; {share} in part by frame pointers");
    }
    match mode {
        Unwind::Auto => text,
        Unwind::FramePointers => format!("{text} (frame pointers only: callers can be missing)"),
        Unwind::Tables => format!("{text} (unwind tables only)"),
    }
}

/// The counters that are not zero: `reason 3, other 1`. Empty when all are.
pub fn nonzero(counters: &std::collections::BTreeMap<String, u64>) -> String {
    let nonzero: Vec<_> = counters
        .iter()
        .filter(|&(_, &count)| count > 0)
        .map(|(reason, &count)| format!("{} {}", name::clean(reason), human::count(count)))
        .collect();
    nonzero.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample;

    #[test]
    fn rss_grows_shrinks_stays_or_is_unknown() {
        let mut profile = sample::profile();
        profile.totals.unfreed.bytes = 1024;
        for (before, after, expected) in [
            (4096, 8192, "RSS grew by 4.00 KiB; unfreed 1.00 KiB"),
            (8192, 4096, "RSS shrank by 4.00 KiB; unfreed 1.00 KiB"),
            (4096, 4096, "RSS did not change; unfreed 1.00 KiB"),
            (0, 0, "the change of RSS is not known; unfreed 1.00 KiB"),
        ] {
            profile.memory.rss_before = before;
            profile.memory.rss_after = after;
            assert_eq!(reconciliation(&profile), expected);
        }
    }

    #[test]
    fn estimates_say_so() {
        let mut profile = sample::profile();
        assert_eq!(sampled(&profile), None);
        profile.sampled = Some(Sampled {
            mean_bytes: 524_288,
            samples: 96,
        });
        let text =
            "one byte of 512.00 KiB; all numbers are estimates, what is unfreed from 96 blocks";
        assert_eq!(sampled(&profile).as_deref(), Some(text));
    }

    #[test]
    fn upper_bounds_say_so() {
        let mut profile = sample::profile();
        assert_eq!(observed(&profile), None);
        assert_eq!(unfreed(&profile), "27.73 MiB in 3,024 blocks");
        profile.slices = sample::gaps().slices;
        assert_eq!(
            observed(&profile).as_deref(),
            Some(
                "6.2% of what it did, in 4 slices, at a cost of 4.9% of its CPU time (5.0% granted); all numbers are \
                 estimates, of what is unfreed upper bounds (between 3,008 and 3,024 blocks in all)"
            )
        );
        let all = "between 3,008 and 3,024 blocks, at most 27.73 MiB";
        let by_stack = "; each stack has at most the bytes and blocks that are shown";
        assert_eq!(unfreed(&profile), format!("{all}{by_stack}"));
        profile.mode = Mode::All;
        assert_eq!(unfreed(&profile), all);
        // fewer are shown than were taken and not given back
        profile.totals.unfreed.count = 1;
        let all = "between 1 and 1 block, at most 27.73 MiB";
        assert_eq!(unfreed(&profile), all);
    }

    #[test]
    fn losses_are_named() {
        let mut profile = sample::profile();
        profile.losses.clear();
        profile.losses.insert("live_full".to_owned(), 0);
        assert_eq!(losses(&profile), "nothing was lost");
        profile.losses.insert("live_full".to_owned(), 1);
        assert_eq!(losses(&profile), "1 event was lost (live_full 1)");
        profile.losses.insert("stack_failed".to_owned(), 2000);
        assert_eq!(
            losses(&profile),
            "2,001 events were lost (live_full 1, stack_failed 2,000)"
        );
    }

    #[test]
    fn stacks_that_are_not_whole_have_a_reason() {
        let mut profile = sample::profile();
        profile.unwinding.walked = 10_000;
        profile.unwinding.complete = 9_995;
        assert_eq!(
            stacks(&profile),
            "99.9% whole; cut: depth 2, no_table 3; 0.1% in part by frame pointers"
        );
        profile.unwinding.lost = 7;
        profile.unwinding.approximate = 0;
        profile.unwinding.mode = Unwind::FramePointers;
        assert_eq!(
            stacks(&profile),
            "99.9% whole; cut: depth 2, no_table 3, lost 7 \
             (frame pointers only: callers can be missing)"
        );
        profile.unwinding = Unwinding {
            walked: 3,
            complete: 3,
            ..Unwinding::default()
        };
        assert_eq!(stacks(&profile), "100.0% whole");
        profile.unwinding = Unwinding::default();
        assert_eq!(stacks(&profile), "none was walked");
    }
}
