//! Numbers that everything behind the reader may add up.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// No process has as much memory: user space of x86-64 ends at 2^56.
const MOST_MEMORY: u64 = 1 << 57;

/// Bytes of a process's memory, if they can be that.
pub fn memory(bytes: u64) -> anyhow::Result<u64> {
    if bytes > MOST_MEMORY {
        bail!("{bytes} bytes are more memory than a process can have");
    }
    Ok(bytes)
}

/// Seconds as a time. `what`: the field's name.
pub fn seconds(what: &str, seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{what}: {seconds} is no time"))
}

/// Fails when these cannot be added up. `what`: their name.
pub fn addable(what: &str, numbers: impl IntoIterator<Item = u64>) -> anyhow::Result<()> {
    let sum = numbers.into_iter().try_fold(0_u64, u64::checked_add);
    sum.with_context(|| format!("{what} are too many to be counted together"))?;
    Ok(())
}
