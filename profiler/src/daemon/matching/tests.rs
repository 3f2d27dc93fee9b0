//! Real processes.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Candidate, Cgroup, Comm, Exe, Match};

/// Not root, and nobody else's.
const NOBODY: u32 = 65534;

/// A process that waits, until it is dropped.
struct Waiting(Child);

impl Waiting {
    /// Returns when it waits: only then is its exec over for sure, with its new name and its new users.
    fn start(command: &mut Command) -> Self {
        let begin = Instant::now();
        let in_time = || begin.elapsed() < Duration::from_secs(10);
        command.arg("1000");
        let child = loop {
            match command.spawn() {
                // Another thread's child still has the copy open for writing, until its exec.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && in_time() => {}
                started => break started.expect("sleep"),
            }
        };
        let process = Self(child);
        while !stat(process.0.id()).contains(") S ") {
            assert!(in_time(), "{}", stat(process.0.id()));
            std::thread::sleep(Duration::from_millis(1));
        }
        process
    }

    fn sleep() -> Self {
        Self::start(&mut Command::new("/bin/sleep"))
    }

    fn candidate(&self) -> Candidate {
        Candidate::of(self.0.id()).expect("a process")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn stat(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/stat")).expect("not reaped");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A control group, until it is dropped.
struct Group(PathBuf);

impl Group {
    /// In each hierarchy of the host.
    fn everywhere(name: &str) -> Vec<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let inner = fs::read_dir(root).expect("a cgroup file system");
        let mut roots = inner
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect::<Vec<_>>();
        if root.join("cgroup.procs").exists() {
            roots = vec![root.to_owned()];
        }
        // Groups of version 1's `cpuset` take no process before they have processors.
        roots.retain(|root| root.join("cgroup.procs").exists() && !root.ends_with("cpuset"));
        let groups = roots.into_iter().map(|root| root.join(name));
        groups
            .map(|path| {
                fs::create_dir(&path).expect("a control group of its own; this test needs root");
                Self(path)
            })
            .collect()
    }

    fn take(&self, process: &Waiting) {
        let pid = process.0.id().to_string();
        fs::write(self.0.join("cgroup.procs"), pid).expect("moving a process");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has just ended may still be leaving.
        let begin = Instant::now();
        while fs::remove_dir(&self.0).is_err() && begin.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn found(matching: &Match) -> Vec<u32> {
    let all = Candidate::all().into_iter();
    all.filter(|candidate| matching.matches(candidate))
        .map(|candidate| candidate.pid)
        .collect()
}

#[test]
fn a_process_is_found_by_its_control_group() {
    let name = format!("unfreed-matching-{}", std::process::id());
    let groups = Group::everywhere(&name);
    assert!(!groups.is_empty());
    for group in &groups {
        let process = Waiting::sleep();
        let glob = |text: &str| Match {
            cgroup: Some(Cgroup::parse(text).expect("a glob")),
            ..Match::default()
        };
        let texts = [
            format!("/{name}"),
            format!("/unfreed-match*-{}", std::process::id()),
            group.0.to_string_lossy().into_owned(),
        ];
        for text in &texts {
            assert!(found(&glob(text)).is_empty(), "{text} before");
        }
        group.take(&process);
        for text in &texts {
            assert_eq!(
                found(&glob(text)),
                [process.0.id()],
                "{text} in {:?}",
                group.0
            );
        }
        drop(process);
        assert!(found(&glob(&texts[0])).is_empty(), "afterwards");
    }
}

#[test]
fn all_that_is_given_must_hold() {
    let process = Waiting::sleep();
    let candidate = process.candidate();
    let exe = |text: &str| Some(Exe::parse(text).expect("a glob"));
    let comm = |text: &str| Some(Comm::parse(text).expect("a name"));
    let both = Match {
        exe: exe(&candidate.exe),
        comm: comm("sleep"),
        ..Match::default()
    };
    assert!(both.matches(&candidate));
    let wrong_exe = Match {
        exe: exe("/none"),
        ..both.clone()
    };
    assert!(!wrong_exe.matches(&candidate));
    let wrong_comm = Match {
        comm: comm("other"),
        ..both
    };
    assert!(!wrong_comm.matches(&candidate));
    assert!(
        !Match::default().matches(&candidate),
        "nothing is asked for"
    );
}

#[test]
fn a_deleted_executable_has_its_name_still() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("worker");
    fs::copy("/bin/sleep", &copy).expect("a copy");
    let process = Waiting::start(&mut Command::new(&copy));
    fs::remove_file(&copy).expect("removed");
    let link = fs::read_link(format!("/proc/{}/exe", process.0.id())).expect("its exe");
    assert!(link.to_string_lossy().ends_with("worker (deleted)"));
    let candidate = process.candidate();
    assert_eq!(Path::new(&candidate.exe), copy);
    assert!(Exe::parse("worker").is_ok_and(|exe| exe.matches(&candidate.exe)));
}

#[test]
fn the_user_is_whoever_may_trace_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(directory.path(), 0o755).expect("for all");
    let uid = |program: &Path| {
        Waiting::start(Command::new(program).uid(NOBODY))
            .candidate()
            .uid
    };
    assert_eq!(Waiting::sleep().candidate().uid, 0);
    assert_eq!(uid(Path::new("/bin/sleep")), NOBODY);
    // Who may not read a program may not read its memory.
    let unreadable = directory.path().join("unreadable");
    fs::copy("/bin/sleep", &unreadable).expect("a copy");
    mode(&unreadable, 0o711).expect("for root");
    assert_eq!(uid(&unreadable), 0);
    let of_root = directory.path().join("set-user-id");
    fs::copy("/bin/sleep", &of_root).expect("a copy");
    mode(&of_root, 0o4755).expect("set-user-id");
    assert_eq!(uid(&of_root), 0);
}

#[test]
fn names_need_not_be_text() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory
        .path()
        .join(OsStr::from_bytes(b"a\xff: \nUid:\t1"));
    fs::copy("/bin/sleep", &program).expect("a copy");
    let candidate = Waiting::start(&mut Command::new(&program)).candidate();
    assert_eq!(candidate.uid, 0);
    assert_eq!(candidate.comm, "a\u{fffd}: \nUid:\t1");
    assert!(
        candidate.exe.ends_with("/a\u{fffd}: \nUid:\t1"),
        "{:?}",
        candidate.exe
    );
}

#[test]
fn what_cannot_be_profiled_is_no_candidate() {
    // The first kernel thread, if this is not a pid namespace of its own.
    let kthreadd = fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm.trim() == "kthreadd");
    if kthreadd {
        assert_eq!(Candidate::of(2), None, "a kernel thread");
    }
    assert_eq!(Candidate::of(0), None);
    assert_eq!(Candidate::of(u32::MAX), None);

    let thread =
        std::thread::spawn(|| Candidate::of(nix::unistd::gettid().as_raw().cast_unsigned()));
    assert_eq!(thread.join().expect("a thread"), None, "a thread");

    let mut zombie = Command::new("/bin/true").spawn().expect("true");
    let pid = zombie.id();
    let begin = Instant::now();
    while !stat(pid).contains(") Z ") && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(stat(pid).contains(") Z "));
    assert_eq!(Candidate::of(pid), None, "a zombie");
    zombie.wait().expect("reaped");
    assert_eq!(Candidate::of(pid), None, "gone");
}

#[test]
fn a_process_is_told_from_its_successor() {
    let first = Waiting::sleep();
    // A tick of the clock that start times are in.
    std::thread::sleep(Duration::from_millis(20));
    let second = Waiting::sleep();
    assert!(first.candidate().started < second.candidate().started);
    assert_eq!(first.candidate(), first.candidate());
}
