//! Sizes, shares and times as a user writes them in the configuration: as on the command line. Numbers without quotes
//! are read as if they had them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserializer;
use serde::de::{Error, Visitor};

use super::settings::Limit;

/// VSZ can be many times what a cgroup may have; beyond this a share is a mistake.
const LARGEST_SHARE: f64 = 1000.0;

/// Reads a value with a function for text, whether it is written as text or as a number.
pub fn typed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    struct Typed<T>(fn(&str) -> Result<T, String>, PhantomData<T>);

    impl<T> Visitor<'_> for Typed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or text in quotes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(|advice| E::custom(format!("{text:?} does not fit: {advice}")))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    deserializer
        .deserialize_any(Typed(parse, PhantomData))
        .map(Some)
}

/// `50MiB`: bytes, at least one.
pub fn size(text: &str) -> Result<u64, String> {
    let advice = "a size is a number of bytes, at least 1, or such as 50MiB, 2GiB";
    let size: ByteSize = text.parse().map_err(|_| advice.to_owned())?;
    match size.as_u64() {
        0 => Err(advice.to_owned()),
        bytes => Ok(bytes),
    }
}

/// `2GiB`, or `80%` of the cgroup's limit.
pub fn size_or_share(text: &str) -> Result<Limit, String> {
    if text.ends_with('%') {
        let advice = "a share of the cgroup's limit is more than 0% and at most 1000%";
        return share(text, advice, |percent| {
            0.0 < percent && percent <= LARGEST_SHARE
        });
    }
    let bytes = size(text).map_err(|advice| format!("{advice}, or a share such as 80%"))?;
    Ok(Limit::Fixed(bytes as f64))
}

/// `50000`, or `80%` of what the kernel allows.
pub fn count_or_share(text: &str) -> Result<Limit, String> {
    let advice = "it is a number, at least 1, or a share of vm.max_map_count, between 0% and 100%";
    if text.ends_with('%') {
        return share(text, advice, inside);
    }
    match text.parse::<u64>() {
        Ok(count) if count > 0 => Ok(Limit::Fixed(count as f64)),
        _ => Err(advice.to_owned()),
    }
}

/// `10`, or `10%`: of time.
pub fn pressure(text: &str) -> Result<Limit, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse() {
        Ok(percent) if inside(percent) => Ok(Limit::Fixed(percent)),
        _ => Err("a pressure is a percentage between 0 and 100, such as 10".to_owned()),
    }
}

/// `10%`, as a share of 1. The sign is demanded: 0.1 and 10 would both be meant as this.
pub fn hysteresis(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map(str::parse);
    match number {
        Some(Ok(percent)) if (0.0..100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("it is a share of the limit, from \"0%\" to less than \"100%\"".to_owned()),
    }
}

/// `10m`: at least a second and at most a week.
pub fn window(text: &str) -> Result<Duration, String> {
    const WEEK: Duration = Duration::from_hours(7 * 24);
    let time = time(text)?;
    if (Duration::from_secs(1)..=WEEK).contains(&time) {
        Ok(time)
    } else {
        Err("it is at least 1s and at most 168h".to_owned())
    }
}

/// `30m`.
pub fn time(text: &str) -> Result<Duration, String> {
    crate::quantity::time::parse(text)
}

fn share(text: &str, advice: &str, fits: impl Fn(f64) -> bool) -> Result<Limit, String> {
    match text.strip_suffix('%').map(str::parse) {
        Some(Ok(percent)) if fits(percent) => Ok(Limit::Percent(percent)),
        _ => Err(advice.to_owned()),
    }
}

/// Neither always nor never exceeded. Not a number is not inside.
fn inside(percent: f64) -> bool {
    0.0 < percent && percent < 100.0
}
