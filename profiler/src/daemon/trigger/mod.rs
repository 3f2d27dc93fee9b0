//! Triggers: conditions of a process's memory that are worth a recording. Pure: what is known, and when, comes with the
//! [`Reading`].

mod amount;
mod settings;
#[cfg(test)]
mod tests;
mod window;
mod words;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use settings::{Condition, Event, Limit, Measure, Settings};

use self::window::Window;
use super::reading::Reading;

/// One trigger's eye on one process. A process that starts, or executes another program, gets a new one.
#[derive(Debug)]
pub struct Watch {
    cooldown: Duration,
    fired: Option<Instant>,
    state: State,
}

#[derive(Debug)]
enum State {
    Growth {
        by: u64,
        within: Duration,
        window: Window,
    },
    Level {
        measure: Measure,
        limit: Limit,
        hysteresis: f64,
        /// It was below the limit, less the hysteresis, after it last fired.
        armed: bool,
    },
    Counter {
        event: Event,
        /// Whose counter, and what it was at the last look.
        last: Option<(PathBuf, u64)>,
    },
}

impl Watch {
    /// Of a process that was not looked at yet.
    pub fn new(settings: &Settings) -> Self {
        let Settings {
            condition,
            cooldown,
        } = settings;
        let state = match *condition {
            Condition::RssGrows { by, within } => State::Growth {
                by,
                within,
                window: Window::new(within),
            },
            Condition::Above {
                measure,
                limit,
                hysteresis,
            } => State::Level {
                measure,
                limit,
                hysteresis,
                armed: true,
            },
            Condition::Event(event) => State::Counter { event, last: None },
        };
        Self {
            cooldown: *cooldown,
            fired: None,
            state,
        }
    }

    /// Looks at the newest reading, which is later than all before. When the trigger fires: why, in words with figures.
    pub fn look(&mut self, reading: &Reading) -> Option<String> {
        let since = |fired| reading.moment.saturating_duration_since(fired);
        let may = self.fired.is_none_or(|fired| since(fired) >= self.cooldown);
        let why = self.state.look(reading, may)?;
        self.fired = Some(reading.moment);
        Some(why)
    }

    /// Why the trigger cannot fire whatever happens, and what to do; as far as this reading tells.
    pub fn lack(&self, reading: &Reading) -> Option<String> {
        let sentence = match self.state {
            State::Growth { .. } => return None,
            State::Counter { event, .. } => {
                if count(event, reading).is_some() {
                    return None;
                }
                words::no_event(event, reading)
            }
            State::Level { measure, limit, .. } => match (value(measure, reading), limit) {
                (None, _) => words::no_value(measure),
                (Some(_), Limit::Percent(_)) if whole(measure, reading).is_none() => {
                    words::no_whole(measure)
                }
                (Some(_), _) => return None,
            },
        };
        Some(sentence)
    }
}

impl State {
    /// `may`: it is not in its cool-down. What is seen then still counts for later.
    fn look(&mut self, reading: &Reading, may: bool) -> Option<String> {
        match self {
            Self::Growth { by, within, window } => {
                let growth = window.look(reading.moment, reading.rss);
                if !may || growth.by < *by {
                    return None;
                }
                window.restart(reading.moment, reading.rss);
                Some(words::grew(growth, *by, *within))
            }
            Self::Level {
                measure,
                limit,
                hysteresis,
                armed,
            } => {
                let value = value(*measure, reading)?;
                let whole = whole(*measure, reading);
                let most = match *limit {
                    Limit::Fixed(most) => most,
                    Limit::Percent(percent) => whole? * percent / 100.0,
                };
                *armed |= value < most * (1.0 - *hysteresis);
                if !may || !*armed || value <= most {
                    return None;
                }
                *armed = false;
                Some(words::above(*measure, value, *limit, most, whole))
            }
            Self::Counter { event, last } => {
                let now = count(*event, reading)?;
                let directory = &reading.cgroup.as_ref()?.directory;
                // Nothing is known of the time before the first look, nor of that in another cgroup.
                let before = match last {
                    Some((known, before)) if known == directory => *before,
                    _ => now,
                };
                *last = Some((directory.clone(), now));
                // A counter that went backwards was set to zero, and counts from there.
                let grown = now.checked_sub(before).filter(|&grown| grown > 0)?;
                may.then(|| words::happened(*event, grown))
            }
        }
    }
}

fn value(measure: Measure, reading: &Reading) -> Option<f64> {
    match measure {
        Measure::Rss => Some(reading.rss as f64),
        Measure::Vsz => Some(reading.vsz as f64),
        Measure::Pressure => reading.pressure,
        Measure::Mappings => reading.mappings.map(|count| count as f64),
    }
}

/// What a share is of.
fn whole(measure: Measure, reading: &Reading) -> Option<f64> {
    let whole = match measure {
        Measure::Rss | Measure::Vsz => reading.cgroup.as_ref()?.limit?,
        Measure::Pressure => 100,
        Measure::Mappings => reading.most_mappings?,
    };
    Some(whole as f64)
}

fn count(event: Event, reading: &Reading) -> Option<u64> {
    let cgroup = reading.cgroup.as_ref()?;
    match event {
        Event::High => cgroup.events_high,
        Event::Max => cgroup.events_max,
    }
}
