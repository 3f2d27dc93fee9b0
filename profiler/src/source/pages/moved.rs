//! Pages that were moved by `mremap`: they do not fault where they come to be, and whoever touched them
//! where they were is still the one who made them resident.
//!
//! A layer above the touches that the kernel side keeps by address: what is known here of an address
//! holds until it is touched again.

use std::collections::HashMap;

use unfreed_common::page::{Move, Touch, how};

use crate::profile::{ByKind, Kind};
use crate::target::{PAGE, Residency, Run};

/// What was moved so far.
#[derive(Debug, Default)]
pub struct Moved {
    /// By page.
    pages: HashMap<u64, Carried>,
    /// What was known of pages before the moves since [`Moved::looked`], the oldest first: when, page.
    since_look: Vec<(u64, u64, Option<Carried>)>,
    /// Moved pages for which there was no room.
    pub not_followed: u64,
}

/// What a move has left at a page, or brought there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Carried {
    /// When. A touch that is newer than this is what counts.
    since: u64,
    /// Who had touched it.
    touch: Option<Touch>,
    /// The page as which it was resident when the recording began.
    origin: Option<u64>,
}

impl Moved {
    /// Memory was moved. `touched`: the last touch at an address, as far as it is known now; `before`: what
    /// was resident when the recording began, in the order of addresses; `room`: the most pages to keep.
    /// Fails when `touched` does.
    pub fn take(
        &mut self,
        moved: &Move,
        before: &[Run],
        room: usize,
        touched: impl Fn(u64) -> anyhow::Result<Option<Touch>>,
    ) -> anyhow::Result<()> {
        for offset in (0..moved.length).step_by(PAGE as usize) {
            let (from, to) = (moved.from + offset, moved.to + offset);
            if self.pages.len() + 2 > room {
                self.not_followed += 1;
                continue;
            }
            let own = touched(from)?;
            // What is newer has come after the move, in the place of what was moved.
            let (touch, origin) = match self.pages.get(&from) {
                Some(carried) if own.is_none_or(|touch| touch.time <= carried.since) => {
                    (carried.touch, carried.origin)
                }
                _ => {
                    let touch = own.filter(|touch| touch.time <= moved.called);
                    let absent = touch.is_some_and(|touch| touch.how & how::ABSENT != 0);
                    let resident = !absent && kind_at(before, from).is_some();
                    (touch, resident.then_some(from))
                }
            };
            let left = Carried {
                since: moved.called,
                touch: None,
                origin: None,
            };
            let brought = Carried {
                since: moved.returned,
                touch,
                origin,
            };
            for (page, now) in [(from, left), (to, brought)] {
                let was = self.pages.insert(page, now);
                self.since_look.push((moved.returned, page, was));
            }
        }
        Ok(())
    }

    /// The target's pages have been looked at: what was moved by then is where it was moved to.
    pub fn looked(&mut self, time: u64) {
        self.since_look.retain(|(moved_at, _, _)| *moved_at > time);
    }

    /// The target is gone, and its pages are known as they were at this time: takes back what was moved
    /// later.
    pub fn back_to(&mut self, time: u64) {
        self.looked(time);
        for (_, page, was) in self.since_look.drain(..).rev() {
            match was {
                Some(carried) => self.pages.insert(page, carried),
                None => self.pages.remove(&page),
            };
        }
    }

    /// The touches, by page, as if everything had been touched where it is now.
    pub fn touches(&self, touches: Vec<(u64, Touch)>) -> Vec<(u64, Touch)> {
        if self.pages.is_empty() {
            return touches;
        }
        let mut newer: HashMap<u64, Touch> = HashMap::new();
        let mut moved = Vec::with_capacity(touches.len());
        for (page, touch) in touches {
            match self.pages.get(&page) {
                Some(carried) if touch.time > carried.since => drop(newer.insert(page, touch)),
                Some(_) => {}
                None => moved.push((page, touch)),
            }
        }
        for (&page, carried) in &self.pages {
            if let Some(touch) = newer.get(&page).copied().or(carried.touch) {
                moved.push((page, touch));
            }
        }
        moved
    }

    /// What was resident before, as if it had been where it is now; and of what other things took the
    /// place.
    pub fn before(&self, before: &Residency) -> (Residency, ByKind) {
        let mut replaced = ByKind::default();
        if self.pages.is_empty() {
            return (before.clone(), replaced);
        }
        let rest = Residency {
            runs: Vec::new(),
            ..before.clone()
        };
        let before = &before.runs;
        let mut now = Vec::new();
        for run in before {
            let mut start = run.start;
            for page in (run.start..run.end).step_by(PAGE as usize) {
                if self.pages.contains_key(&page) {
                    now.extend((start < page).then_some(Run {
                        start,
                        end: page,
                        ..*run
                    }));
                    start = page + PAGE;
                }
            }
            now.extend((start < run.end).then_some(Run { start, ..*run }));
        }
        let mut carried_off: HashMap<u64, u64> = HashMap::new();
        for (&page, carried) in &self.pages {
            if let Some(origin) = carried.origin {
                carried_off.insert(origin, page);
            }
        }
        for &page in self.pages.keys() {
            let Some(run) = run_at(before, page) else {
                continue;
            };
            match carried_off.get(&page) {
                Some(&start) => now.push(Run {
                    start,
                    end: start + PAGE,
                    ..*run
                }),
                None => replaced.add(run.kind, PAGE),
            }
        }
        now.sort_unstable_by_key(|run| run.start);
        (Residency { runs: now, ..rest }, replaced)
    }
}

fn run_at(runs: &[Run], page: u64) -> Option<&Run> {
    let behind = runs.partition_point(|run| run.end <= page);
    runs.get(behind).filter(|run| run.start <= page)
}

fn kind_at(runs: &[Run], page: u64) -> Option<Kind> {
    run_at(runs, page).map(|run| run.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1000;
    const WRITE: u64 = how::ABSENT | how::WRITE;

    fn touch(stack: u64, time: u64) -> Touch {
        Touch {
            stack,
            time,
            how: WRITE,
        }
    }

    fn run(from: u64, to: u64) -> Run {
        Run {
            start: from * PAGE,
            end: to * PAGE,
            kind: Kind::Anonymous,
            huge: false,
            folio: None,
            lazy: false,
        }
    }

    fn step(from: u64, to: u64, pages: u64, time: u64) -> Move {
        Move {
            from: from * PAGE,
            to: to * PAGE,
            length: pages * PAGE,
            called: time,
            returned: time + 1,
        }
    }

    /// Moves, each with the touches that are known then, and what is touched at the end: page, stack.
    fn moved(
        steps: &[(Move, &[(u64, Touch)])],
        before: &[Run],
        touches: &[(u64, Touch)],
    ) -> (Moved, Vec<(u64, u64)>) {
        let mut moved = Moved::default();
        for (step, known) in steps {
            let who = |page| {
                let found = known.iter().find(|(at, _)| at * PAGE == page);
                Ok(found.map(|(_, touch)| *touch))
            };
            moved.take(step, before, ROOM, who).unwrap();
        }
        let touches = touches.iter().map(|&(page, touch)| (page * PAGE, touch));
        let mut now: Vec<_> = moved.touches(touches.collect());
        now.sort_unstable_by_key(|(page, _)| *page);
        let now = now
            .into_iter()
            .map(|(page, touch)| (page / PAGE, touch.stack));
        let now = now.collect();
        (moved, now)
    }

    #[test]
    fn a_page_stays_its_touchers_wherever_it_goes() {
        let known: &[_] = &[(1, touch(7, 1)), (2, touch(8, 2))];
        let (_, now) = moved(&[(step(1, 11, 3, 10), known)], &[], known);
        assert_eq!(now, [(11, 7), (12, 8)]);
        // And on.
        let steps = [(step(1, 11, 3, 10), known), (step(11, 21, 2, 20), known)];
        let (_, now) = moved(&steps, &[], known);
        assert_eq!(now, [(21, 7), (22, 8)]);
        // And back.
        let steps = [(step(1, 11, 3, 10), known), (step(11, 1, 2, 20), known)];
        let (_, now) = moved(&steps, &[], known);
        assert_eq!(now, [(1, 7), (2, 8)]);
    }

    #[test]
    fn what_is_touched_after_the_move_is_the_new_touchers() {
        let known: &[_] = &[(1, touch(7, 1)), (2, touch(7, 2))];
        // Page 1 is another one now; 12 was given back there and touched again.
        let end: &[_] = &[(1, touch(9, 15)), (2, touch(7, 2)), (12, touch(9, 16))];
        let (_, now) = moved(&[(step(1, 11, 2, 10), known)], &[], end);
        assert_eq!(now, [(1, 9), (11, 7), (12, 9)]);
        // Heard too late: who touched what was moved is not known any more, and nobody else is named.
        let late: &[_] = &[(1, touch(9, 15)), (2, touch(7, 2))];
        let (_, now) = moved(&[(step(1, 11, 2, 10), late)], &[], late);
        assert_eq!(now, [(1, 9), (12, 7)]);
    }

    #[test]
    fn what_was_at_the_new_place_is_over() {
        let known: &[_] = &[(1, touch(7, 1)), (11, touch(8, 2))];
        let (_, now) = moved(&[(step(1, 11, 2, 10), known)], &[run(12, 13)], known);
        assert_eq!(now, [(11, 7)]);
    }

    #[test]
    fn what_was_resident_before_is_so_in_its_new_place() {
        let before = Residency {
            runs: vec![run(1, 5), run(11, 12)],
            ..Residency::default()
        };
        // 1 and 2 move; 2 had been given back and touched again. 11 was something else.
        let known: &[_] = &[(2, touch(7, 3))];
        let (moved, now) = moved(&[(step(1, 11, 2, 10), known)], &before.runs, known);
        assert_eq!(now, [(12, 7)]);
        let (before, replaced) = moved.before(&before);
        assert_eq!(before.runs, [run(3, 5), run(11, 12)]);
        assert_eq!(replaced.sum(), 2 * PAGE);
    }

    #[test]
    fn a_target_that_is_gone_is_as_it_was_looked_at() {
        let known = |page| Ok((page == PAGE).then(|| touch(7, 1)));
        let mut moved = Moved::default();
        moved.take(&step(1, 11, 1, 10), &[], ROOM, known).unwrap();
        moved.looked(15);
        moved.take(&step(11, 21, 1, 20), &[], ROOM, known).unwrap();
        moved.take(&step(21, 31, 1, 30), &[], ROOM, known).unwrap();
        moved.back_to(15);
        assert_eq!(moved.touches(Vec::new()), [(11 * PAGE, touch(7, 1))]);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut moved = Moved::default();
        moved
            .take(&step(1, 11, 3, 10), &[], 4, |_| Ok(None))
            .unwrap();
        assert_eq!(moved.not_followed, 1);
    }
}
