//! What must hold for a target, and between targets.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::super::document::{self, Record};
use super::super::target::{Schedule, Target};
use super::{Check, DAY, HOUR, shown};
use crate::daemon::matching::{Cgroup, Comm, Container, Exe, Match, Unit};
use crate::daemon::trigger::{self, Condition};
use crate::profile::View;
use crate::quantity::percent;
use crate::quantity::size::{self, Size};
use crate::quantity::time::Time;

const CONTINUOUS_WINDOW: Duration = HOUR;
const WINDOW: Duration = Duration::from_mins(1);
const PERIOD: Duration = Duration::from_mins(10);
const MIN_AGE: Duration = Duration::from_millis(500);
const SAMPLE: u64 = 512 << 10;
const MAX_OVERHEAD: f64 = 5.0;
const MAX_PROCESSES: i64 = 8;

/// Attaching and symbolizing take part of a second.
const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(7);

const PERIODS: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(30);

/// Each recording is a process of its own, with maps in the kernel.
const PROCESSES: RangeInclusive<i64> = 1..=1000;

const LONGEST_NAME: usize = 64;

/// How many readings there must be in the time that growth is looked at over, to see any.
const READINGS: u32 = 3;

impl Check {
    pub fn targets(
        &mut self,
        targets: Vec<document::Target>,
        sample_every: Duration,
    ) -> Vec<Target> {
        let mut names = BTreeSet::new();
        let mut resolved = Vec::new();
        for target in targets {
            let name = &target.name;
            if !names.insert(name.get_ref().clone()) {
                let message = format!("another target is called {:?} already", name.get_ref());
                self.wrong(&name.span(), message);
            }
            resolved.push(self.target(target, sample_every));
        }
        resolved
    }

    fn target(&mut self, target: document::Target, sample_every: Duration) -> Target {
        let document::Target {
            name,
            exe,
            comm,
            cgroup,
            unit,
            container,
            views,
            record,
            window,
            period,
            min_age,
            sample,
            max_overhead,
            max_processes,
            max_age,
            max_count,
            max_size,
            trigger,
        } = target;
        self.name(&name);
        let asked = [&exe, &comm, &cgroup, &unit, &container];
        if asked.iter().all(|asked| asked.is_none()) {
            self.wrong(
                &name.span(),
                "the target matches on nothing; give one or more of exe, comm, cgroup, unit, container",
            );
        }
        let matching = Match {
            exe: self.parsed(exe.as_ref(), Exe::parse),
            comm: self.parsed(comm.as_ref(), Comm::parse),
            cgroup: self.parsed(cgroup.as_ref(), Cgroup::parse),
            unit: self.parsed(unit.as_ref(), Unit::parse),
            container: self.parsed(container.as_ref(), Container::parse),
        };
        let views = self.views(views);
        let heap = views.contains(&View::Heap);
        let schedule = self.schedule(record.as_ref(), window.as_ref(), period.as_ref());
        if matches!(schedule, Schedule::Triggered { .. }) && trigger.is_empty() {
            let place = record.as_ref().map_or_else(|| name.span(), Spanned::span);
            self.wrong(
                &place,
                "nothing would ever be recorded: \"triggered\" needs a [[target.trigger]]",
            );
        }
        let max_processes = self.given_count(max_processes.as_ref(), &PROCESSES);
        Target {
            matching,
            schedule,
            min_age: self.min_age(min_age.as_ref(), schedule.window()),
            sample: self.sample(sample.as_ref(), heap),
            max_overhead: self.max_overhead(max_overhead.as_ref(), heap),
            views,
            max_processes: usize::try_from(max_processes.unwrap_or(MAX_PROCESSES)).unwrap_or(1),
            retention: self.retention(max_age.as_ref(), max_count.as_ref(), max_size.as_ref()),
            triggers: self.triggers(trigger, sample_every),
            name: name.into_inner(),
        }
    }

    /// Names are parts of addresses of the page, and of labels.
    fn name(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let letter_first = text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric());
        if !letter_first || text.len() > LONGEST_NAME || !text.bytes().all(allowed) {
            self.wrong(
                &name.span(),
                format!(
                    "a target's name has letters, digits and . _ - and begins with a letter or digit; \
                     at most {LONGEST_NAME}"
                ),
            );
        }
    }

    fn views(&mut self, views: Option<Spanned<Vec<Spanned<document::View>>>>) -> Vec<View> {
        let Some(given) = views else {
            return vec![View::Heap, View::Pages];
        };
        if given.get_ref().is_empty() {
            let message = "nothing would be recorded; give \"heap\", \"pages\" or both";
            self.wrong(&given.span(), message);
        }
        let mut views = Vec::new();
        for view in given.into_inner() {
            let place = view.span();
            let view = match view.into_inner() {
                document::View::Heap => View::Heap,
                document::View::Pages => View::Pages,
            };
            if views.contains(&view) {
                self.wrong(&place, format!("{:?} is there already", view.name()));
            }
            views.push(view);
        }
        views
    }

    fn schedule(
        &mut self,
        record: Option<&Spanned<Record>>,
        window: Option<&Spanned<Time>>,
        period: Option<&Spanned<Time>>,
    ) -> Schedule {
        let record = record.map_or_else(Record::default, |record| *record.get_ref());
        if let (Some(period), true) = (period, record != Record::Every) {
            let message =
                "a period means something only with record = \"every\"; leave it out, or record so";
            self.wrong(&period.span(), message);
        }
        match record {
            Record::Continuous => Schedule::Continuous {
                window: self.time(window, CONTINUOUS_WINDOW, &WINDOWS),
            },
            Record::Triggered => Schedule::Triggered {
                window: self.time(window, WINDOW, &WINDOWS),
            },
            Record::Every => {
                let place = window.or(period).map(Spanned::span);
                let window = self.time(window, WINDOW, &WINDOWS);
                let period = self.time(period, PERIOD, &PERIODS);
                if let (Some(place), true) = (place, window > period) {
                    let message = format!(
                        "a window of {} is longer than the period, {}; shorten it, or record = \"continuous\"",
                        shown(window),
                        shown(period)
                    );
                    self.wrong(&place, message);
                }
                Schedule::Every { window, period }
            }
        }
    }

    fn min_age(&mut self, value: Option<&Spanned<Time>>, window: Duration) -> Duration {
        let min_age = self.time(value, MIN_AGE, &(Duration::ZERO..=DAY));
        if let (Some(value), true) = (value, min_age >= window) {
            let message = format!(
                "nothing gets as old as {} in a window of {}; it must be less",
                shown(min_age),
                shown(window)
            );
            self.wrong(&value.span(), message);
        }
        min_age
    }

    fn sample(&mut self, value: Option<&Spanned<Size>>, heap: bool) -> u64 {
        let Some(value) = value else { return SAMPLE };
        self.heap_only(value, heap);
        let Size(mean) = *value.get_ref();
        if let Err(message) = size::check_mean(mean) {
            self.wrong(&value.span(), message);
        }
        mean
    }

    fn max_overhead(&mut self, value: Option<&Spanned<f64>>, heap: bool) -> Option<f64> {
        let Some(value) = value else {
            return Some(MAX_OVERHEAD);
        };
        self.heap_only(value, heap);
        let percent = *value.get_ref();
        if percent == 0.0 {
            return None;
        }
        if let Err(message) = percent::check(percent) {
            self.wrong(&value.span(), format!("{message}; 0 is whatever it takes"));
        }
        Some(percent)
    }

    /// Of what has no effect somebody thinks that it has.
    fn heap_only<T>(&mut self, value: &Spanned<T>, heap: bool) {
        if !heap {
            let message = "this is about the view \"heap\", which is not recorded; leave it out";
            self.wrong(&value.span(), message);
        }
    }

    fn triggers(
        &mut self,
        triggers: Vec<Spanned<trigger::Settings>>,
        sample_every: Duration,
    ) -> Vec<trigger::Settings> {
        for trigger in &triggers {
            let trigger::Settings {
                condition,
                cooldown,
            } = trigger.get_ref();
            if *cooldown > DAY.saturating_mul(30) {
                self.wrong(&trigger.span(), "a cooldown is at most 30d");
            }
            if let Condition::RssGrows { within, .. } = condition
                && *within < sample_every.saturating_mul(READINGS)
            {
                let message = format!(
                    "growth within {} is not seen when memory is read every {}; make the time longer, \
                     or sample_every shorter: {READINGS} readings are needed",
                    shown(*within),
                    shown(sample_every)
                );
                self.wrong(&trigger.span(), message);
            }
        }
        triggers.into_iter().map(Spanned::into_inner).collect()
    }
}
