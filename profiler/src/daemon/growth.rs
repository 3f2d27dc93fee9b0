//! A process's RSS and VSZ over time, for the page; and how fast RSS grows.

mod thinned;

use std::time::{Duration, Instant};

use self::thinned::Thinned;
use super::reading::Reading;
use super::status::{Process, Sample};

/// What the chart shows at most.
const CHART: Duration = Duration::from_hours(24);

/// Over what time the rate is: long enough for a garbage collector's ups and downs, short enough to say what goes on now.
const RECENT: Duration = Duration::from_mins(15);

/// Readings that the rate is made of, at most: as many pairs as are quickly compared.
const MOST_RECENT: usize = 100;

/// Of less, a rate would be made of what a program does when it starts.
const SHORTEST: Duration = Duration::from_secs(30);

/// Fewer readings say nothing of a trend.
const LEAST_RECENT: usize = 3;

/// The history of one process. One that executes another program gets a new one.
#[derive(Debug, Clone)]
pub struct History {
    chart: Thinned<Sample>,
    recent: Thinned<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            chart: Thinned::new(Process::MOST_SAMPLES, CHART),
            recent: Thinned::new(MOST_RECENT, RECENT),
        }
    }
}

impl History {
    /// Takes a reading, which is later than all before.
    pub fn note(&mut self, reading: &Reading) {
        let &Reading {
            at,
            moment,
            rss,
            vsz,
            ..
        } = reading;
        self.chart.push(moment, Sample { at, rss, vsz });
        self.recent.push(moment, rss);
    }

    /// Samples of up to 24 hours, oldest first, evenly spaced but for the newest; at most [`Process::MOST_SAMPLES`].
    pub fn samples(&self) -> Vec<Sample> {
        self.chart.iter().map(|(_, sample)| *sample).collect()
    }

    /// By how much RSS grows, bytes a second, over the last 15 minutes; negative when it shrinks. `None`: too little is
    /// known.
    ///
    /// It is the median of the slopes between any two readings (Theil and Sen), and not a line of least squares: a cache
    /// that fills at once, or a peak, would bend that line for as long as it is in the window, and be taken for a leak.
    /// The median is as good for a steady leak, and holds until 29 % of the readings are off.
    pub fn growth(&self) -> Option<f64> {
        let recent: Vec<(Instant, f64)> = self
            .recent
            .iter()
            .map(|(moment, &rss)| (moment, rss as f64))
            .collect();
        let (first, last) = (recent.first()?, recent.last()?);
        let span = last.0.saturating_duration_since(first.0);
        if recent.len() < LEAST_RECENT || span < SHORTEST {
            return None;
        }
        let mut slopes = Vec::with_capacity(recent.len() * (recent.len() - 1) / 2);
        for (i, (from, before)) in recent.iter().enumerate() {
            for (to, after) in &recent[i + 1..] {
                let seconds = to.saturating_duration_since(*from).as_secs_f64();
                if seconds > 0.0 {
                    slopes.push((after - before) / seconds);
                }
            }
        }
        median(&mut slopes)
    }
}

/// Of an even number the greater of the two in the middle: among thousands it does not matter.
fn median(numbers: &mut [f64]) -> Option<f64> {
    if numbers.is_empty() {
        return None;
    }
    let middle = numbers.len() / 2;
    let (_, median, _) = numbers.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

#[cfg(test)]
mod tests;
