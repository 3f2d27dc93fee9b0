//! The kernel's word on which processes come and go.

use std::os::fd::{AsRawFd, RawFd};

use anyhow::Context as _;
use aya::maps::{Array, MapData, RingBuf};
use aya::programs::TracePoint;
use aya::programs::trace_point::TracePointLink;
use aya::{Ebpf, EbpfLoader};
use aya_log::{EbpfLogger, LEVEL, Level};
use unfreed_common::life::Event;

use super::pausable::remove;

/// The compiled programs.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/unfreed-processes-ebpf"));

/// Programs, and the tracepoints they are on.
const PROGRAMS: [(&str, &str, &str); 6] = [
    ("newtask", "task", "task_newtask"),
    ("exec", "sched", "sched_process_exec"),
    ("exit", "sched", "sched_process_exit"),
    ("signal_sent", "signal", "signal_generate"),
    ("signal_taken", "signal", "signal_deliver"),
    ("mark_victim", "oom", "mark_victim"),
];

/// A watch over all processes of this machine. Its descriptor is readable when there are events. Dropping it
/// ends it.
pub struct Processes {
    /// Kept: dropping them detaches the programs.
    links: Vec<TracePointLink>,
    _ebpf: Ebpf,
    events: RingBuf<MapData>,
    lost: Array<MapData, u64>,
    /// What the programs say, at level debug. `None`: nobody wants to know.
    log: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl Processes {
    /// Begins.
    pub fn watch() -> anyhow::Result<Self> {
        // The programs are verified without what they would say, where nobody wants to know.
        let level = if log::log_enabled!(log::Level::Debug) {
            Level::Debug as u8
        } else {
            0
        };
        let mut ebpf = EbpfLoader::new()
            .override_global(LEVEL, &level, true)
            .load(OBJECT)
            .context("loading the eBPF programs that watch processes")?;
        let mut links = Vec::with_capacity(PROGRAMS.len());
        for (name, category, tracepoint) in PROGRAMS {
            let attaching = || format!("watching the tracepoint {category}:{tracepoint}");
            let program: &mut TracePoint = ebpf
                .program_mut(name)
                .with_context(|| format!("the eBPF object has no {name}"))?
                .try_into()
                .with_context(attaching)?;
            program.load().with_context(attaching)?;
            let link = program
                .attach(category, tracepoint)
                .and_then(|link| program.take_link(link))
                .with_context(attaching)?;
            links.push(link);
        }
        let log = if level > 0 {
            Some(EbpfLogger::init(&mut ebpf).context("reading what the eBPF programs say")?)
        } else {
            None
        };
        let mut map = |name: &str| {
            ebpf.take_map(name)
                .with_context(|| format!("the eBPF object has no {name}"))
        };
        let events = RingBuf::try_from(map("EVENTS")?)?;
        let lost = Array::try_from(map("EVENTS_LOST")?)?;
        Ok(Self {
            links,
            _ebpf: ebpf,
            events,
            lost,
            log,
        })
    }

    /// Takes all events out, in the order in which they happened on each processor.
    pub fn drain(&mut self) -> Vec<Event> {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let mut events = Vec::new();
        while let Some(record) = self.events.next() {
            if record.len() >= size_of::<Event>() {
                // SAFETY: as many bytes as the type has, at any alignment; any bytes are a value of it.
                events.push(unsafe { record.as_ptr().cast::<Event>().read_unaligned() });
            }
        }
        events
    }

    /// Begins to end the watch; nobody waits for it. Whoever is about to exit should do so before many probes are removed,
    /// as the kernel takes all of them one after the other, and does not let us go before it was our turn.
    pub fn end(&mut self) {
        let links = std::mem::take(&mut self.links);
        std::thread::spawn(move || remove(links, PROGRAMS.len()));
    }

    /// How many events were lost so far, for want of room.
    pub fn lost(&self) -> u64 {
        self.lost.get(&0, 0).unwrap_or_default()
    }
}

impl AsRawFd for Processes {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::{Duration, Instant};
    use unfreed_common::life::kind;

    /// Needs root, as every test that loads programs.
    #[test]
    fn a_child_comes_has_a_program_and_goes() {
        let mut processes = Processes::watch().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "kill -USR1 $$"])
            .spawn()
            .unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let mut seen = Vec::new();
        let begin = Instant::now();
        while !seen.contains(&(kind::EXIT, 0)) && begin.elapsed() < Duration::from_secs(5) {
            let of_child = processes.drain().into_iter().filter(|it| it.pid == pid);
            seen.extend(of_child.map(|it| (it.kind, it.detail)));
        }
        // The events of one processor are in order; the parent's and the child's can be on two.
        seen.sort_unstable();
        assert_eq!(
            seen,
            [
                (kind::FORK, std::process::id()),
                (kind::EXEC, 0),
                (kind::EXIT, 0),
                (kind::SIGNAL, libc::SIGUSR1 as u32),
            ]
        );
        assert_eq!(processes.lost(), 0);
    }
}
