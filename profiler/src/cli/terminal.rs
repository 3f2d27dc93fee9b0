//! A recording as somebody at a terminal sees it, and ends it.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::pipeline::{self, Progress, Until, Watcher};
use crate::profile::Process;
use crate::write::human;

/// Standard error.
pub struct Terminal {
    shows_progress: bool,
}

impl Terminal {
    /// `quiet`: without the progress line, which there is on terminals only.
    pub fn new(quiet: bool) -> Self {
        Self {
            shows_progress: !quiet && std::io::stderr().is_terminal(),
        }
    }
}

impl Watcher for Terminal {
    fn until(&mut self) -> anyhow::Result<Until> {
        Ok(Box::pin(pipeline::interrupted()?))
    }

    fn warn(&mut self, warning: &str) {
        eprintln!("unfreed: warning: {warning}");
    }

    /// The line that programs wait for.
    fn recording(&mut self, process: &Process, probes: &str) {
        let Process { pid, comm, .. } = process;
        eprintln!("recording {pid} ({comm}): {probes}");
    }

    fn wants_progress(&mut self, _elapsed: Duration) -> bool {
        self.shows_progress
    }

    /// Shows elapsed and total time, unfreed bytes and the rate of events, over the line before.
    fn progress(&mut self, progress: &Progress) {
        let events = progress.taken.count + progress.given_back.count;
        let seconds = progress.elapsed.as_secs_f64();
        let total = progress.total.map(human::duration);
        let total = total.map_or_else(String::new, |total| format!("/{total}"));
        let live = human::bytes(progress.unfreed().bytes);
        let rate = events as f64 / seconds.max(0.001);
        // The terminal may be gone; that must not end the recording.
        let _gone = write!(
            std::io::stderr(),
            "\r{seconds:.0} s{total}  {live} unfreed  {rate:.0} events/s\x1b[K"
        );
    }

    fn over(&mut self) {
        if self.shows_progress {
            let _gone = writeln!(std::io::stderr());
        }
    }
}
