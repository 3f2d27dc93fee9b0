//! How long it takes until there is a flame graph of a process that has a large binary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unfreed_tests::child::{Lines, Owned, describe};
use unfreed_tests::paths;

use crate::numbers::Spread;
use crate::tables;

/// How often it is measured; once more, for the page cache.
const ROUNDS: usize = 3;

/// How long is recorded. Not part of what is measured.
const DURATION: Duration = Duration::from_secs(1);

const LIMIT: Duration = Duration::from_mins(1);

/// What a large binary is, in bytes.
const LARGE: u64 = 90_000_000;

/// How the names of files begin that are looked for: an executable, and a library.
const NODE: &str = "node";
const KINDS: [&str; 2] = [NODE, "libLLVM"];

/// Load a library, then take a block now and then.
const PYTHON: &str = "\
import ctypes, sys, time
library = ctypes.CDLL(sys.argv[1])
print('ready', flush=True)
blocks = []
while True:
    blocks.append(bytes(5000))
    time.sleep(0.001)
";

/// The same in what is a large binary itself.
const JAVASCRIPT: &str = "\
const blocks = [];
setInterval(() => blocks.push(Buffer.alloc(50000)), 1);
console.log('ready');
";

const ABOUT: &str = "\
From starting `unfreed heap --duration 1s -o x.svg` on a process that runs until the file is there, less the second.
Files are in the page cache.";

/// As Markdown.
pub fn section() -> Result<String> {
    let mut text =
        format!("{ABOUT}\n\n| the process has | MB | until the flame graph, s |\n|---|--:|--:|\n");
    let mut failures = String::new();
    let mut any = false;
    for (path, size) in large()? {
        let name = name_of(&path);
        any = true;
        eprintln!("flame graph: {name}");
        match measure(process(&path)) {
            Ok(seconds) => writeln!(text, "| {name} | {:.1} | {seconds:.2} |", size as f64 / 1e6)?,
            Err(error) => writeln!(failures, "\nNot measured: {name}: {error:#}.")?,
        }
    }
    if !any {
        return Ok(format!(
            "Not measured: no file of {} MB was found.\n",
            LARGE / 1_000_000
        ));
    }
    Ok(text + &failures)
}

/// Large files that a process can be made to have, the largest of each kind.
fn large() -> Result<Vec<(PathBuf, u64)>> {
    let mut by_kind: BTreeMap<&str, (PathBuf, u64)> = BTreeMap::new();
    for path in tables::paths()? {
        let size = path.metadata().context("asking for a file's size")?.len();
        let name = name_of(&path);
        let Some(kind) = KINDS.into_iter().find(|kind| name.starts_with(kind)) else {
            continue;
        };
        if size >= by_kind.get(kind).map_or(LARGE, |(_, size)| *size) {
            by_kind.insert(kind, (path, size));
        }
    }
    Ok(by_kind.into_values().collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

/// A command that has the file mapped and takes memory.
fn process(path: &Path) -> Command {
    if name_of(path).starts_with(NODE) {
        let mut command = Command::new(path);
        command.args(["-e", JAVASCRIPT]);
        command
    } else {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON]).arg(path);
        command
    }
}

fn measure(mut command: Command) -> Result<Spread> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut target = Owned::spawn(&mut command).context("starting the process")?;
    let stdout = target.child().stdout.take().context("its output")?;
    let line = Lines::of(stdout).next(LIMIT)?;
    ensure!(
        line.as_deref() == Some("ready"),
        "the process said {line:?}"
    );
    let times: Result<Vec<f64>> = (0..=ROUNDS).map(|_| flame_graph(target.pid())).collect();
    let times = times?;
    Spread::of(times.into_iter().skip(1)).context("nothing was measured")
}

/// Seconds.
fn flame_graph(pid: u32) -> Result<f64> {
    let directory = tempfile::tempdir().context("creating a directory for a flame graph")?;
    let output = directory.path().join("x.svg");
    let mut command = Command::new(paths::unfreed()?);
    command
        .args(["heap", "-q", "-p", &pid.to_string(), "-o"])
        .arg(&output)
        .args(["--duration", &format!("{}s", DURATION.as_secs())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let mut unfreed = Owned::spawn(&mut command).context("starting unfreed")?;
    let mut written = None;
    let status = unfreed.wait(LIMIT, || {
        if written.is_none() && output.exists() {
            written = Some(started.elapsed());
        }
    })?;
    let written = written.with_context(|| format!("unfreed ended with {}", describe(status)))?;
    ensure!(
        matches!(status.code(), Some(0 | 3)),
        "unfreed ended with {}",
        describe(status)
    );
    Ok(written.saturating_sub(DURATION).as_secs_f64())
}
