//! Which values each stack has.

use crate::profile::{Mode, Profile, Stack, View, Weight};
use crate::write::summary;

/// A number and its unit.
type Named = (&'static str, &'static str);

/// The values of a profile.
pub struct Columns {
    /// Names and units.
    pub types: Vec<Named>,
    /// The name of what is shown unless asked for something else.
    pub default: &'static str,
    /// What is to be said of them.
    pub note: Option<String>,
    mode: Mode,
    /// Whether there is a pair for what was taken.
    taken: bool,
    /// Whether there is one for what is unfreed.
    unfreed: bool,
}

impl Columns {
    /// Of this recording.
    pub fn of(profile: &Profile) -> Self {
        let (of_taken, of_unfreed): ([Named; 2], [Named; 2]) = match profile.view {
            View::Heap => (
                [("alloc_objects", "count"), ("alloc_space", "bytes")],
                [("inuse_objects", "count"), ("inuse_space", "bytes")],
            ),
            View::Pages => (
                [("touched_pages", "count"), ("touched_space", "bytes")],
                [("pages", "count"), ("resident_space", "bytes")],
            ),
        };
        let (taken, unfreed, note) = match (profile.mode, profile.view) {
            (Mode::Unfreed, View::Heap) => (true, true, Some(of_what_was_taken(profile))),
            (Mode::Unfreed, View::Pages) => (false, true, None),
            (Mode::All, _) => {
                let known = profile.stacks.iter().all(|stack| stack.unfreed.is_some());
                let note = format!(
                    "what of it is unfreed is not known of each stack, so there is no {}",
                    of_unfreed[1].0
                );
                (true, known, (!known).then_some(note))
            }
        };
        let mut types = Vec::new();
        types.extend(of_taken.into_iter().filter(|_| taken));
        types.extend(of_unfreed.into_iter().filter(|_| unfreed));
        Self {
            types,
            default: match profile.mode {
                Mode::Unfreed => of_unfreed[1].0,
                Mode::All => of_taken[1].0,
            },
            note,
            mode: profile.mode,
            taken,
            unfreed,
        }
    }

    /// Of one stack, in the order of the types. What is more than the format holds is the most that it holds.
    pub fn values(&self, stack: &Stack) -> Vec<i64> {
        let (taken, unfreed) = match self.mode {
            // at least that was taken
            Mode::Unfreed => (stack.taken.unwrap_or(stack.weight), stack.weight),
            Mode::All => (stack.weight, stack.unfreed.unwrap_or_default()),
        };
        let pairs = [(taken, self.taken), (unfreed, self.unfreed)];
        let pairs = pairs.into_iter().filter(|&(_, is_there)| is_there);
        let numbers = pairs.flat_map(|(Weight { bytes, count }, _)| [count, bytes]);
        numbers
            .map(|number| i64::try_from(number).unwrap_or(i64::MAX))
            .collect()
    }
}

/// Stacks at which nothing is unfreed have no place in a recording of what is: their share of what was taken is
/// missing from the sum, and must not be taken for nothing.
fn of_what_was_taken(profile: &Profile) -> String {
    let all = summary::weight(profile.totals.taken, profile.view);
    let unknown = profile
        .stacks
        .iter()
        .filter(|it| it.taken.is_none())
        .count();
    if unknown == 0 {
        return format!(
            "alloc_* is what was taken at the stacks that have something unfreed; in all, {all} were taken"
        );
    }
    format!(
        "what was taken is not known of {unknown} of {} stacks: there alloc_* is what is unfreed; in all, {all} \
         were taken",
        profile.stacks.len()
    )
}
