//! The kernel's messages, and whether it says that it is damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result};

/// `CONSOLE_EXT_LOG_MAX` of the kernel's kernel/printk/printk.c; a read with less room fails.
const LONGEST: usize = 8192;

/// The messages since a moment.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// Begins behind the last one.
    pub fn from_now() -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("opening /dev/kmsg")?;
        file.seek(SeekFrom::End(0))
            .context("going to the end of /dev/kmsg")?;
        Ok(Self(file))
    }

    /// Those that came since, a line each.
    pub fn messages(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut record = [0; LONGEST];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => {
                    let record = String::from_utf8_lossy(&record[..length]);
                    text.push_str(message(&record));
                    text.push('\n');
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(text),
                // Some were overwritten before they were read: it goes on with the oldest.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error).context("reading /dev/kmsg"),
            }
        }
    }
}

/// A record is `LEVEL,NUMBER,TIME,FLAGS;MESSAGE`, with lines about the device behind it (the kernel's
/// Documentation/ABI/testing/dev-kmsg).
fn message(record: &str) -> &str {
    let line = record.lines().next().unwrap_or_default();
    line.split_once(';').map_or(line, |(_, message)| message)
}

/// The bits of `/proc/sys/kernel/tainted` (the kernel's Documentation/admin-guide/tainted-kernels.rst):
/// a warning sets 512, an oops 128.
pub fn tainted() -> Result<u64> {
    let path = "/proc/sys/kernel/tainted";
    fs::read_to_string(path)
        .with_context(|| format!("reading {path}"))?
        .trim()
        .parse()
        .with_context(|| format!("{path} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_message() {
        let record = "6,339,5140900,-;NET: Registered PF_INET; family 2\n SUBSYSTEM=net\n";
        assert_eq!(message(record), "NET: Registered PF_INET; family 2");
    }
}
