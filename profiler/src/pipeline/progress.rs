//! The progress line on a terminal.

use std::io::Write as _;
use std::time::Duration;

use crate::bpf::Bpf;
use crate::profile::Weight;
use crate::write::human;

/// Shows elapsed and total time, unfreed bytes and the rate of events, over the line before.
pub fn show(bpf: &Bpf, elapsed: Duration, total: Option<Duration>) -> anyhow::Result<()> {
    let given_back = bpf.given_back()?;
    let mut taken = Weight::default();
    for entry in bpf.stacks()? {
        taken += entry.taken;
    }
    let live = taken.bytes.saturating_sub(given_back.bytes);
    let events = taken.count + given_back.count;
    let seconds = elapsed.as_secs_f64();
    let total = total.map_or_else(String::new, |total| format!("/{}", human::duration(total)));
    let live = human::bytes(live);
    let rate = events as f64 / seconds.max(0.001);
    // The terminal may be gone; that must not end the recording.
    let _gone = write!(
        std::io::stderr(),
        "\r{seconds:.0} s{total}  {live} unfreed  {rate:.0} events/s\x1b[K"
    );
    Ok(())
}

/// Ends the line.
pub fn end() {
    let _gone = writeln!(std::io::stderr());
}
