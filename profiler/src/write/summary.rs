//! The sentences about a recording that more than one format holds.

use crate::profile::{Mode, Profile, Sampled, Unwind, Unwinding, View, Weight};

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
    let growth = slices.growth().map(|growth| {
        let at_least = human::counted(growth.at_least(), "block");
        format!(", of what is unfreed an upper bound: at least {at_least} are")
    });
    Some(format!(
        "{} of what it did, in {}, {cost}; all numbers are estimates{}",
        percent(slices.share()),
        human::counted(slices.slices.len() as u64, "slice"),
        growth.unwrap_or_default()
    ))
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
