//! Processes that have come or have a new program, and are to be looked at.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a process must have lived before it is looked at. Most that are started end sooner, and are not worth
/// the probes.
const SETTLED: Duration = Duration::from_secs(1);

/// Those that wait.
#[derive(Debug, Default)]
pub struct Arrivals(HashMap<u32, Instant>);

impl Arrivals {
    /// It has come, or has a new program.
    pub fn add(&mut self, pid: u32, now: Instant) {
        self.0.insert(pid, now + SETTLED);
    }

    /// It is gone.
    pub fn remove(&mut self, pid: u32) {
        self.0.remove(&pid);
    }

    /// Takes out those that are to be looked at now.
    pub fn due(&mut self, now: Instant) -> Vec<u32> {
        let due = self.0.extract_if(|_, due| *due <= now);
        due.map(|(pid, _)| pid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_at_once_is_never_looked_at() {
        let now = Instant::now();
        let mut arrivals = Arrivals::default();
        arrivals.add(1, now);
        arrivals.add(2, now);
        arrivals.remove(1);
        assert_eq!(arrivals.due(now), [0_u32; 0]);
        assert_eq!(arrivals.due(now + SETTLED), [2]);
        assert_eq!(arrivals.due(now + SETTLED), [0_u32; 0]);
    }

    #[test]
    fn a_new_program_begins_anew() {
        let now = Instant::now();
        let mut arrivals = Arrivals::default();
        arrivals.add(1, now);
        arrivals.add(1, now + SETTLED / 2);
        assert_eq!(arrivals.due(now + SETTLED), [0_u32; 0]);
        assert_eq!(arrivals.due(now + SETTLED * 3 / 2), [1]);
    }
}
