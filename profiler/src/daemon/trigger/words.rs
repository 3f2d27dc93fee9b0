//! What triggers say: why they fired, or why they cannot.

use std::time::Duration;

use super::settings::{Event, Limit, Measure};
use super::window::Growth;
use crate::daemon::reading::Reading;
use crate::write::human;

/// Growth reached its limit.
pub fn grew(growth: Growth, limit: u64, within: Duration) -> String {
    format!(
        "RSS grew by {} in {} (limit {} in {})",
        human::bytes(growth.by),
        human::duration(growth.time),
        human::bytes(limit),
        human::duration(within),
    )
}

/// A number is above its limit. `most`: the limit in the measure's unit; `whole`: what a share is of.
pub fn above(measure: Measure, value: f64, limit: Limit, most: f64, whole: Option<f64>) -> String {
    let number = |number| unit(measure, number);
    let limit = match (limit, whole) {
        (Limit::Percent(percent), Some(whole)) => {
            let of = match measure {
                Measure::Mappings => "vm.max_map_count",
                _ => "the cgroup's limit",
            };
            format!("{}, {percent}% of {of} {}", number(most), number(whole))
        }
        _ => number(most),
    };
    let value = number(value);
    match measure {
        Measure::Rss => format!("RSS is {value} (limit {limit})"),
        Measure::Vsz => format!("VSZ is {value} (limit {limit})"),
        Measure::Pressure => {
            format!("memory was waited for in {value} of the last 10 s (limit {limit})")
        }
        Measure::Mappings => format!("there are {value} mappings (limit {limit})"),
    }
}

/// Events were counted since the last look.
pub fn happened(event: Event, times: u64) -> String {
    let times = human::counted(times, "time");
    match event {
        Event::High => format!("the cgroup exceeded its memory.high {times}"),
        Event::Max => format!("the cgroup hit its memory limit {times}"),
    }
}

/// A counter is absent.
pub fn no_event(event: Event, reading: &Reading) -> String {
    match event {
        Event::High if reading.cgroup.is_some() => {
            "cgroup_event = \"high\" never fires: version 1 of cgroups has no memory.high; use \"max\""
                .to_owned()
        }
        _ => "cgroup_event never fires: the process is in no memory cgroup that can be seen; \
              use rss_above with a size"
            .to_owned(),
    }
}

/// A number is absent. RSS and VSZ never are.
pub fn no_value(measure: Measure) -> String {
    let text = match measure {
        Measure::Rss | Measure::Vsz => "the size of the process cannot be read",
        Measure::Pressure => {
            "pressure_above never fires: the kernel does not measure pressure; boot it with psi=1"
        }
        Measure::Mappings => {
            "mappings_above does not fire: /proc/PID/maps cannot be read; run as root or with CAP_SYS_PTRACE"
        }
    };
    text.to_owned()
}

/// What a share is of is absent.
pub fn no_whole(measure: Measure) -> String {
    let text = match measure {
        Measure::Mappings => {
            "mappings_above never fires: vm.max_map_count cannot be read; use a number"
        }
        _ => {
            "a share of the cgroup's limit never fires: the process is in no memory cgroup with a limit; \
             use a size"
        }
    };
    text.to_owned()
}

fn unit(measure: Measure, number: f64) -> String {
    match measure {
        Measure::Rss | Measure::Vsz => human::bytes(number.round() as u64),
        Measure::Mappings => human::count(number.round() as u64),
        Measure::Pressure => format!("{number:.2}%"),
    }
}
