//! A trigger as it is written in the configuration.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::amount::{self, typed};
use crate::daemon::reading::Wants;

/// How long a trigger keeps silent after it fired, if nothing else is asked for.
const COOLDOWN: Duration = Duration::from_mins(30);

/// Below which share of its limit a number must fall before it may fire again, if nothing else is asked for.
const HYSTERESIS: f64 = 0.1;

/// A trigger: when to record, besides when it is time to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    /// What makes it fire.
    pub condition: Condition,
    /// How long it keeps silent after it fired.
    pub cooldown: Duration,
}

/// What makes a trigger fire.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// RSS grew by so much or more in a time. Readings must be made several times in it: of what was before the first
    /// one in it, nothing is known.
    RssGrows {
        /// Bytes.
        by: u64,
        /// The time.
        within: Duration,
    },
    /// A number is above a limit.
    Above {
        /// Which number.
        measure: Measure,
        /// The limit.
        limit: Limit,
        /// By which share of the limit it must fall below that before it may fire again; less than 1.
        hysteresis: f64,
    },
    /// The cgroup's counter of an event grew.
    Event(Event),
}

/// A number of a reading's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// RSS, bytes.
    Rss,
    /// VSZ, bytes.
    Vsz,
    /// Pressure, percent.
    Pressure,
    /// The number of mappings.
    Mappings,
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// In the measure's unit.
    Fixed(f64),
    /// Percent of what there may be: of the cgroup's limit, or of `vm.max_map_count`.
    Percent(f64),
}

/// An event of a memory cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// `memory.high` was exceeded, and the process slowed down. Not in version 1 of cgroups.
    High,
    /// The limit was hit.
    Max,
}

impl Settings {
    /// What must be read for it.
    pub fn wants(&self) -> Wants {
        let mut wants = Wants::default();
        match self.condition {
            Condition::RssGrows { .. } => {}
            Condition::Event(_) => wants.cgroup = true,
            Condition::Above { measure, limit, .. } => match measure {
                Measure::Rss | Measure::Vsz => wants.cgroup = matches!(limit, Limit::Percent(_)),
                Measure::Pressure => wants.pressure = true,
                Measure::Mappings => wants.mappings = true,
            },
        }
        wants
    }
}

/// As it is typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, deserialize_with = "size")]
    rss_grows: Option<u64>,
    #[serde(default, deserialize_with = "window")]
    within: Option<Duration>,
    #[serde(default, deserialize_with = "size_or_share")]
    rss_above: Option<Limit>,
    #[serde(default, deserialize_with = "size_or_share")]
    vsz_above: Option<Limit>,
    cgroup_event: Option<Event>,
    #[serde(default, deserialize_with = "pressure")]
    pressure_above: Option<Limit>,
    #[serde(default, deserialize_with = "count_or_share")]
    mappings_above: Option<Limit>,
    #[serde(default, deserialize_with = "time")]
    cooldown: Option<Duration>,
    #[serde(default, deserialize_with = "hysteresis")]
    hysteresis: Option<f64>,
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    typed(deserializer, amount::size)
}

fn window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    typed(deserializer, amount::window)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    typed(deserializer, amount::time)
}

fn size_or_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Limit>, D::Error> {
    typed(deserializer, amount::size_or_share)
}

fn count_or_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Limit>, D::Error> {
    typed(deserializer, amount::count_or_share)
}

fn pressure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Limit>, D::Error> {
    typed(deserializer, amount::pressure)
}

fn hysteresis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    typed(deserializer, amount::hysteresis)
}

impl TryFrom<Written> for Settings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written {
            rss_grows,
            within,
            rss_above,
            vsz_above,
            cgroup_event,
            pressure_above,
            mappings_above,
            cooldown,
            hysteresis,
        } = written;
        let above = |measure, limit| Condition::Above {
            measure,
            limit,
            hysteresis: hysteresis.unwrap_or(HYSTERESIS),
        };
        let growth = match (rss_grows, within) {
            (Some(by), Some(within)) => Some(Condition::RssGrows { by, within }),
            (None, None) => None,
            (Some(_), None) => {
                return Err("rss_grows needs the time, such as within = \"10m\"".to_owned());
            }
            (None, Some(_)) => return Err("within belongs to rss_grows only".to_owned()),
        };
        let conditions = [
            ("rss_grows", growth),
            (
                "rss_above",
                rss_above.map(|limit| above(Measure::Rss, limit)),
            ),
            (
                "vsz_above",
                vsz_above.map(|limit| above(Measure::Vsz, limit)),
            ),
            ("cgroup_event", cgroup_event.map(Condition::Event)),
            (
                "pressure_above",
                pressure_above.map(|limit| above(Measure::Pressure, limit)),
            ),
            (
                "mappings_above",
                mappings_above.map(|limit| above(Measure::Mappings, limit)),
            ),
        ];
        let names = conditions.each_ref().map(|(name, _)| *name).join(", ");
        let mut given = conditions
            .into_iter()
            .filter_map(|(name, condition)| Some((name, condition?)));
        let Some((name, condition)) = given.next() else {
            return Err(format!("a trigger needs a condition, one of {names}"));
        };
        if let Some((another, _)) = given.next() {
            return Err(format!(
                "a trigger has one condition, and this one has {name} and {another}; write two triggers"
            ));
        }
        if hysteresis.is_some() && !matches!(condition, Condition::Above { .. }) {
            return Err(format!("hysteresis means nothing to {name}; leave it out"));
        }
        Ok(Self {
            condition,
            cooldown: cooldown.unwrap_or(COOLDOWN),
        })
    }
}
