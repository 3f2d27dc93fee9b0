//! Real workloads under unfreed, under nothing but its probes, and under other tools.

mod bounded;
mod first;
mod launch;
mod live;
mod rounds;
mod table;
mod targets;
mod tracers;
mod watcher;
mod ways;

use std::fmt::Write as _;

use anyhow::{Context, Result};

use ways::Way;

/// How it is measured, before the tables.
const OTHERS: &str = "\
[An earlier run on another processor](overhead-epyc.md) is kept, as they differ much; [what limits
recording](limitations.md#what-recording-costs) on each is with the limitations.";

const ABOUT: &str = "\
CPU time of the measured process, in user mode and in the kernel, for each unit of a fixed amount of work: what
a tool adds to a process is there, whoever else runs on the machine. (Requests a second would have it, too, but
mixed with what the client, the tool and the rest of the machine take of two processors.) What a tool's own
process takes is not in it. The units are:

- **malloc and free**: one pair of calls, 16 calls deep, in a loop that does nothing else.
- **C++ object**: an object of strings, vectors and shared pointers that is made, put into a map, added up in a
  hash table, perhaps copied, and let go: some eight blocks.
- **redis request**: redis-server under redis-benchmark on the loopback, half SET and half GET, 256 bytes, 16
  connections, pipelines of 16.
- **sqlite3 script**: a table of 200 rows in memory that is made, filled, indexed, asked, changed, joined and
  dropped, by sqlite3's shell, which was there before.

The first two are compiled with frame pointers; the others are the distribution's, without. All tools are attached to
the same process, one after the other; heaptrack and valgrind have processes of their own. A cell is empty when there is
no number; below is why.";

/// The whole document but its title.
pub fn part() -> Result<String> {
    let directory = tempfile::tempdir().context("creating a directory for what tools write")?;
    let results = rounds::measure(directory.path());
    let mut text = format!(
        "{OTHERS}\n\n## Workloads\n\n{ABOUT}\n\n\
         There are {} rounds of the first four ways. The others, which differ from these by more, have their turn in one\n\
         round of {}.\n\n{}\n",
        rounds::ROUNDS,
        rounds::SELDOM,
        table::tables(&results)?
    );
    for way in Way::ALL {
        text += &table::item(&format!("**{}**: {}", way.name(), way.about()));
    }
    let failures = table::failures(&results);
    if !failures.is_empty() {
        write!(text, "\nNot measured:\n\n{failures}")?;
    }
    text += &bounded()?;
    write!(text, "\n## A million live blocks\n\n{}", live::section()?)?;
    write!(text, "\n## The first flame graph\n\n{}", first::section()?)?;
    Ok(text)
}

/// What `--max-overhead` comes to, alone.
pub fn bounded() -> Result<String> {
    Ok(format!(
        "\n## A bound on overhead\n\n{}",
        bounded::section()?
    ))
}
