//! What the daemon tells systemd and its journal. Neither runs here: the test has their sockets.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use unfreed_tests::child::Owned;
use unfreed_tests::daemon::{Daemon, Files};
use unfreed_tests::paths;

use super::Copy;
use super::life::children;
use crate::session::Session;

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// The other end of a socket that the daemon writes to. Always read: the kernel keeps ten messages, and then the daemon
/// would wait.
struct Listener(Receiver<Vec<u8>>);

impl Listener {
    fn at(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).context("binding a socket")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length) = socket.recv(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self(receiver))
    }

    /// The next message.
    fn next(&self) -> Result<Vec<u8>> {
        self.0.recv_timeout(LIMIT).context("nothing is said")
    }

    /// The next message with this beginning; those before it are dropped.
    fn until(&self, begin: &str) -> Result<String> {
        let mut others = Vec::new();
        loop {
            let message = self.next();
            let message =
                message.with_context(|| format!("waiting for {begin}; said: {others:?}"))?;
            let text = String::from_utf8(message)?;
            if text.starts_with(begin) {
                return Ok(text);
            }
            others.push(text);
        }
    }
}

#[test]
fn systemd_hears_how_it_goes() -> Result<()> {
    let program = Copy::of("endings")?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("notify");
    let systemd = Listener::at(&path)?;
    let files = Files::new()?;
    files.configure(&program.target("it", ""))?;
    // As systemd does it: for this process and no other.
    let mut command = Command::new("sh");
    command
        .args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""])
        .arg(paths::unfreed()?)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "2000000");
    let daemon = Daemon::by(command, files)?;
    systemd.until("READY=1")?;
    systemd.until("STATUS=0 processes of 1 targets, 0 recordings")?;
    let _process = program.recorded(&daemon, "exit")?;
    systemd.until("STATUS=1 processes of 1 targets, 1 recordings")?;
    for _ in 0..3 {
        systemd.until("WATCHDOG=1")?;
    }

    // A worker's words would be taken for the daemon's.
    let workers = children(daemon.pid())?;
    ensure!(workers.len() == 1, "{workers:?}");
    let environment = fs::read(format!("/proc/{}/environ", workers[0]))?;
    let environment = String::from_utf8_lossy(&environment);
    ensure!(
        !environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG_USEC"),
        "{environment}"
    );

    // Also when what it reads is wrong: it goes on with what it had.
    for targets in [String::new(), "[[target]]\nnome = 1\n".to_owned()] {
        daemon.files().configure(&targets)?;
        daemon.signal(Signal::SIGHUP)?;
        let reloading = systemd.until("RELOADING=1")?;
        ensure!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
        systemd.until("READY=1")?;
    }
    daemon.signal(Signal::SIGTERM)?;
    systemd.until("STOPPING=1")?;
    Ok(())
}

/// What the journal would keep of a datagram: a line `FIELD=value`, or the field, the length of its value, and that.
fn fields(message: &[u8]) -> Result<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = rest.split_at(end.context("a line without an end")?);
        let line = String::from_utf8(line.to_vec())?;
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
            rest = &after[1..];
            continue;
        }
        let (length, value) = after[1..].split_at_checked(8).context("a length")?;
        let length = u64::from_le_bytes(length.try_into()?) as usize;
        let (value, after) = value.split_at_checked(length).context("a value")?;
        fields.insert(line, String::from_utf8(value.to_vec())?);
        rest = after.get(1..).context("the end of a value")?;
    }
    Ok(fields)
}

/// The program where `directory` is the journal's, and nowhere else.
fn with_journal(directory: &Path) -> Result<Command> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/journal \
             && mount --bind \"$0\" /run/systemd/journal && exec \"$@\"",
        )
        .arg(directory)
        .arg(paths::unfreed()?);
    Ok(command)
}

#[test]
fn the_journal_gets_fields() -> Result<()> {
    let program = Copy::of("endings")?;
    let directory = tempfile::tempdir()?;
    let journal = Listener::at(&directory.path().join("socket"))?;
    let files = Files::new()?;
    files.configure(&program.target("it", ""))?;

    // Whose standard error is not the journal's says it there, although it was inherited from who is.
    let mut command = with_journal(directory.path())?;
    command.env("JOURNAL_STREAM", "1:1");
    let (status, _, _, files) = Daemon::by(command, files)?.end()?;
    ensure!(status.success(), "{status}");

    let errors = directory.path().join("errors");
    let stderr = File::create(&errors)?;
    let identity = stderr.metadata()?;
    let mut command = with_journal(directory.path())?;
    command
        .args(["daemon", "--config"])
        .arg(files.config())
        .env(
            "JOURNAL_STREAM",
            format!("{}:{}", identity.dev(), identity.ino()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    let mut daemon = Owned::spawn(&mut command)?;
    let until = |message: &str| -> Result<BTreeMap<String, String>> {
        loop {
            let next = journal.next();
            let fields = fields(&next.with_context(|| format!("waiting for {message}"))?)?;
            if fields.get("MESSAGE").is_some_and(|it| it == message) {
                return Ok(fields);
            }
        }
    };
    until("ready")?;
    let process = Session::ready(&mut Command::new(&program.path))?;
    let begins = until("begins")?;
    let pid = process.pid().to_string();
    for (name, value) in [
        ("UNFREED_TARGET", "it"),
        ("UNFREED_PID", &pid),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "unfreed"),
    ] {
        ensure!(begins.get(name).is_some_and(|it| it == value), "{begins:?}");
    }
    let id = begins.get("UNFREED_RECORDING").context("no recording")?;
    ensure!(id.contains(&pid), "{id}");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(daemon.pid().cast_signed()),
        Signal::SIGTERM,
    )?;
    until("ending")?;
    let status = daemon.wait(LIMIT, || ())?;
    ensure!(status.success(), "{status}");
    // All of it once.
    let said = fs::read_to_string(&errors)?;
    if !said.is_empty() {
        bail!("said beside the journal: {said}");
    }
    Ok(())
}
