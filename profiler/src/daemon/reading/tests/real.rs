//! A process in a memory cgroup of its own, which holds as much memory as it is fed, until it hits the limit and is
//! ended. Needs root, to make the cgroup.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use procfs::KernelVersion;
use procfs::process::Process as ProcFs;

use super::super::{CgroupReading, MOUNTS, Reading, Wants, groups};
use crate::daemon::trigger::{Settings, Watch};

const MIB: u64 = 1 << 20;

/// From here on the process is in trouble: `memory.high` in version 2, the limit in version 1.
const TROUBLE: u64 = 24 * MIB;

const ALL: Wants = Wants {
    mappings: false,
    cgroup: true,
    pressure: true,
};

/// A memory cgroup; removed in the end, when its processes are gone.
struct Group {
    directory: PathBuf,
    version_1: bool,
}

impl Group {
    /// In which nobody is killed yet.
    fn create() -> Self {
        let own = groups(std::process::id());
        let version_1 = MOUNTS.memory(&own);
        let place = version_1.clone().or_else(|| MOUNTS.unified(&own));
        let top = place.expect("this host has cgroups").top;
        let directory = top.join(format!("unfreed-reading-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let group = Self {
            directory,
            version_1: version_1.is_some(),
        };
        if group.version_1 {
            group.write("memory.limit_in_bytes", &TROUBLE.to_string());
            group.write("memory.oom_control", "1");
        } else {
            group.write("memory.high", &TROUBLE.to_string());
            group.write("memory.max", &(4 * TROUBLE).to_string());
        }
        group
    }

    fn limit(&self) -> u64 {
        if self.version_1 { TROUBLE } else { 4 * TROUBLE }
    }

    /// From now on who is in trouble is killed.
    fn kill(&self) {
        if self.version_1 {
            self.write("memory.oom_control", "0");
        } else {
            // Nothing is swapped out instead.
            self.write("memory.swap.max", "0");
            self.write("memory.max", &(TROUBLE / 2).to_string());
        }
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.directory.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process leaves its cgroup a little after it was waited for.
        let tries = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            fs::remove_dir(&self.directory).is_ok()
        });
        if !tries {
            eprintln!("{} could not be removed", self.directory.display());
        }
    }
}

/// A process that keeps what it is fed, as one long line, and allocates nothing else. It copies the line piece by piece
/// itself: if the kernel met the limit while it wrote to the process's memory, the call would fail, and nobody be
/// killed.
struct Holder(Child);

impl Holder {
    fn start(group: &Group) -> (Self, ChildStdin) {
        let mut child = Command::new("sed")
            .arg("d")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let holder = Self(child);
        group.write("cgroup.procs", &holder.0.id().to_string());
        (holder, input)
    }

    fn read(&self) -> Option<Reading> {
        Reading::of(self.0.id(), &ALL)
    }

    fn cgroup(&self) -> CgroupReading {
        self.read().unwrap().cgroup.unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watch(lines: &str) -> Watch {
    let settings: Settings = toml::from_str(lines).unwrap();
    Watch::new(&settings)
}

/// Waits for a value.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// RSS as the kernel finds it by walking the page tables.
fn walked(pid: u32) -> u64 {
    let process = ProcFs::new(pid.cast_signed()).unwrap();
    let rollup = process.smaps_rollup().unwrap();
    rollup.memory_map_rollup.0[0].extension.map["Rss"]
}

/// By how much RSS may be wrong.
fn tolerance() -> u64 {
    let exact = KernelVersion::new(6, 16, 0);
    if KernelVersion::current().unwrap() >= exact {
        return 4 * procfs::page_size();
    }
    // Each processor has up to so many pages of each of three counters that are not in the sum yet.
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    3 * processors * 64.max(2 * processors) * procfs::page_size()
}

#[test]
fn growth_limits_and_the_end_of_a_real_process_are_seen() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root can make a cgroup");
        return;
    }
    let group = Group::create();
    let (holder, mut input) = Holder::start(&group);
    let (bystander, _bystanders_input) = Holder::start(&group);
    let event = if group.version_1 { "max" } else { "high" };
    let mut grows = watch("rss_grows = '8MiB'\nwithin = '10m'");
    let mut above = watch(&format!("rss_above = {}", 10 * MIB));
    let mut share = watch(if group.version_1 {
        "rss_above = '40%'"
    } else {
        "rss_above = '10%'"
    });
    let mut events = watch(&format!("cgroup_event = '{event}'"));

    let first = until("the program runs", || {
        holder.read().filter(|first| first.rss > 0)
    });
    for watch in [&mut grows, &mut above, &mut share, &mut events] {
        assert_eq!(watch.lack(&first), None);
        assert_eq!(watch.look(&first), None, "{first:?}");
    }
    let cgroup = first.cgroup.unwrap();
    assert_eq!(cgroup.directory, group.directory);
    assert_eq!(cgroup.limit, Some(group.limit()));
    assert_eq!(cgroup.oom_kill, Some(0));

    input.write_all(&vec![0; 12 * MIB as usize]).unwrap();
    let full = until("RSS is what it should be", || {
        let reading = holder.read()?;
        let same = reading.rss.abs_diff(walked(holder.0.id())) <= tolerance();
        (same && reading.rss >= 12 * MIB).then_some(reading)
    });
    assert!(full.rss < 20 * MIB, "{full:?}");
    let current = full.cgroup.as_ref().unwrap().current;
    assert!((12 * MIB..=16 * MIB).contains(&current), "{current}");
    assert!(grows.look(&full).is_some_and(|why| why.contains("grew")));
    assert!(above.look(&full).is_some());
    assert!(share.look(&full).is_some_and(|why| why.contains("% of")));
    assert_eq!(events.look(&full), None);

    let feeder = std::thread::spawn(move || {
        // Fails when the process is killed.
        let _ = input.write_all(&vec![0; 40 * MIB as usize]);
    });
    let why = until("the event is counted", || events.look(&holder.read()?));
    assert!(why.contains("the cgroup"), "{why}");

    assert_eq!(bystander.cgroup().oom_kill, Some(0));
    group.kill();
    until("the process is killed", || {
        holder.read().is_none().then_some(())
    });
    assert_eq!(bystander.cgroup().oom_kill, Some(1));
    drop(holder);
    feeder.join().unwrap();
}
