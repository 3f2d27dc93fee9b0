//! A worker: one recording, in a process of its own. Whatever happens to it, the daemon and the other recordings go
//! on, and its memory is given back as a whole.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;

use super::message::{Ended, Message, Order, Progress, Written};
use crate::allocator::Hints;
use crate::daemon::entry::Amount;
use crate::daemon::matching::Candidate;
use crate::pipeline::{
    self, Detaching, Footprint, Recorded, Selection, Settings, Until, Watcher, What,
};
use crate::profile::{End, Mode, Process, Profile, Slices, Unwind, View};
use crate::write::{self, Options};

/// How often the daemon is told how it is going.
const PROGRESS: Duration = Duration::from_secs(2);

/// Reads an order from standard input, records, writes, and says so on standard output.
pub fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the order")?;
    let order: Order = serde_json::from_str(&line).context("reading the order")?;
    // Removing probes may take longer than everything else, and what is written is of use before.
    let _detaching = match record(&order) {
        Ok((written, detaching)) => {
            tell(&Message::Written(written));
            Some(detaching)
        }
        Err(error) => {
            tell(&Message::Failed {
                no_space: no_space(&error),
                reason: format!("{error:#}"),
            });
            None
        }
    };
    Ok(())
}

fn record(order: &Order) -> anyhow::Result<(Written, Detaching)> {
    let mut daemon = Daemon {
        only_uid: order.only_uid,
        told: None,
    };
    let Recorded { profile, detaching } = pipeline::record(&settings(order), &mut daemon)?;
    write_as(&profile, "json", &order.json)?;
    write_as(&profile, "pprof", &order.pprof)?;
    Ok((written(&profile)?, detaching))
}

fn settings(order: &Order) -> Settings {
    let what = match order.view {
        View::Heap => What::Heap {
            max_live: Some(order.max_entries),
            sample: order.sample,
            max_overhead: order.max_overhead,
            hints: Hints::default(),
            unstripped: None,
        },
        View::Pages => What::Pages {
            max_pages: Some(order.max_entries),
            events: None,
        },
    };
    Settings {
        selection: Selection::Pid(order.pid),
        duration: order.duration,
        min_age: order.min_age,
        mode: Mode::Unfreed,
        unwind: Unwind::Auto,
        footprint: Footprint::OF_MANY,
        what,
    }
}

/// The store makes it last.
fn write_as(profile: &Profile, format: &str, path: &Path) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(writing)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    write::by_name(format)?
        .write(profile, &Options::default(), &mut out)
        .with_context(writing)?;
    out.flush().with_context(writing)
}

fn written(profile: &Profile) -> anyhow::Result<Written> {
    let unfreed = profile.totals.unfreed;
    Ok(Written {
        comm: profile.process.comm.clone(),
        exe: profile.process.exe.clone(),
        started_at: profile
            .started_at
            .parse()
            .context("reading when it began")?,
        duration_seconds: profile.duration.as_secs_f64(),
        unfreed: Amount {
            bytes: unfreed.bytes,
            count: unfreed.count,
        },
        lost: profile.lost(),
        ended: match profile.end {
            End::Exited(_) | End::Killed(_) | End::MainThreadExited => Ended::Exited,
            End::Exec => Ended::Exec,
            _ => Ended::Over,
        },
    })
}

fn no_space(error: &anyhow::Error) -> bool {
    let full = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    };
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(full))
}

/// One line to the daemon. If it is gone, nobody wants to know.
fn tell(message: &Message) {
    let mut out = io::stdout().lock();
    let gone = serde_json::to_writer(&mut out, message)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush());
    drop(gone);
}

/// The daemon, as the recording sees it.
struct Daemon {
    /// Whose process it must be.
    only_uid: Option<u32>,
    /// When it was last told how it is going, since the beginning.
    told: Option<Duration>,
}

impl Watcher for Daemon {
    fn until(&mut self) -> anyhow::Result<Until> {
        let interrupted = pipeline::interrupted()?;
        let (sender, stopped) = oneshot::channel::<()>();
        // Not the runtime's own standard input: its thread would have to be waited for in the end.
        std::thread::spawn(move || {
            // One byte, or the end, or an error: each means the same.
            let _any = io::stdin().lock().read(&mut [0]);
            drop(sender);
        });
        Ok(Box::pin(async move {
            tokio::select! {
                () = interrupted => {}
                _ = stopped => {}
            }
        }))
    }

    fn warn(&mut self, warning: &str) {
        tell(&Message::Warning {
            text: warning.to_owned(),
        });
    }

    fn consents(&mut self, process: &Process) -> anyhow::Result<()> {
        let Some(only) = self.only_uid else {
            return Ok(());
        };
        let pid = process.pid;
        match Candidate::of(pid) {
            Some(candidate) if candidate.uid == only => Ok(()),
            _ => bail!("there is no process {pid} of the user {only}"),
        }
    }

    fn recording(&mut self, _process: &Process, probes: &str) {
        tell(&Message::Recording {
            probes: probes.to_owned(),
        });
    }

    fn wants_progress(&mut self, elapsed: Duration) -> bool {
        let due = self.told.is_none_or(|told| elapsed >= told + PROGRESS);
        if due {
            self.told = Some(elapsed);
        }
        due
    }

    fn progress(&mut self, progress: &pipeline::Progress) {
        let unfreed = progress.unfreed();
        let slices = progress.slices.as_ref();
        tell(&Message::Progress(Progress {
            unfreed: Amount {
                bytes: unfreed.bytes,
                count: unfreed.count,
            },
            observed: slices.map_or(1.0, Slices::share),
            overhead: slices.map(|slices| slices.cost),
            losses: progress.losses.clone(),
        }));
    }

    fn over(&mut self) {}
}
