//! Other eBPF tools that are attached to a process: bpftrace and memleak.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use unfreed_tests::child::{Lines, Owned, describe};

use super::launch::on_path;
use crate::floor::Sites;

/// For a tool to be at work, or to say why it cannot be.
const LIMIT: Duration = Duration::from_secs(30);

/// Under which names memleak is installed: bcc's, and that of libbpf-tools.
const MEMLEAK: [&str; 4] = ["memleak-bpfcc", "memleak", "bpf-memleak", "memleak-libbpf"];

/// Printed by a program in the kernel, so that it is there means that the others are attached.
const TICK: &str = "at work";

/// A block's size waits for the return of its allocation under the thread's number.
const SCRIPT: &str = r#"
uprobe:FILE:malloc { @size[tid] = arg0; }
uprobe:FILE:calloc { @size[tid] = arg0 * arg1; }
uprobe:FILE:realloc { delete(@bytes[arg0]); delete(@stack[arg0]); @size[tid] = arg1; }
uretprobe:FILE:malloc, uretprobe:FILE:calloc, uretprobe:FILE:realloc /@size[tid]/ {
  @bytes[retval] = @size[tid]; @stack[retval] = ustack; delete(@size[tid]);
}
uprobe:FILE:free { delete(@bytes[arg0]); delete(@stack[arg0]); }
interval:ms:100 { printf("TICK\n"); }
"#;

/// A bpftrace that keeps the blocks of a process.
pub fn bpftrace(pid: u32) -> Result<Owned> {
    let sites = Sites::of(pid, true)?;
    let script = SCRIPT
        .replace("FILE", sites.allocator()?)
        .replace("TICK", TICK);
    let mut command = Command::new("bpftrace");
    command
        .args(["-B", "line", "-p", &pid.to_string(), "-e", &script])
        .env("BPFTRACE_MAP_KEYS_MAX", "1000000");
    at_work(command, |line| line == TICK)
}

/// The first of [`MEMLEAK`] that is installed.
pub fn memleak_program() -> Option<&'static str> {
    MEMLEAK.into_iter().find(|name| on_path(name))
}

/// memleak, reporting every two seconds.
pub fn memleak(pid: u32) -> Result<Owned> {
    let sites = Sites::of(pid, true)?;
    let program = memleak_program().context("not found")?;
    // libbpf-tools' keeps 31 bytes of the path.
    let directory = tempfile::tempdir().context("creating a directory for a short path")?;
    let allocator = directory.path().join("a");
    std::os::unix::fs::symlink(sites.allocator()?, &allocator)?;
    // By lines, in whichever language it is written: its first report is waited for.
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", program])
        .args(["-p", &pid.to_string(), "-O"])
        .arg(&allocator)
        .arg("2")
        .env("PYTHONUNBUFFERED", "1");
    // A report begins with the time.
    at_work(command, |line| line.starts_with('['))
}

/// Starts a tool and waits for the line that says that it is at work.
fn at_work(mut command: Command, sign: impl Fn(&str) -> bool) -> Result<Owned> {
    let name = command.get_program().display().to_string();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Owned::spawn(&mut command).with_context(|| format!("starting {name}"))?;
    let stdout = Lines::of(child.child().stdout.take().context("a tool's output")?);
    let stderr = Lines::of(child.child().stderr.take().context("a tool's errors")?);
    while let Some(line) = stdout.next(LIMIT)? {
        if sign(&line) {
            // What it says from now on is read and dropped, so that no pipe is ever full.
            drain(stdout);
            drain(stderr);
            return Ok(child);
        }
    }
    let status = child.wait(LIMIT, || ())?;
    let said = stderr.rest(LIMIT)?;
    ensure!(
        !said.trim().is_empty(),
        "it ended with {}",
        describe(status)
    );
    bail!(
        "it ended with {} and said: {}",
        describe(status),
        last(&said)
    )
}

fn drain(lines: Lines) {
    std::thread::spawn(move || while let Ok(Some(_)) = lines.next(Duration::MAX) {});
}

/// What matters of a long complaint comes last.
fn last(said: &str) -> &str {
    said.trim().lines().last().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_tool_that_cannot_work_says_why() {
        let script = "echo wait; echo first >&2; echo 'no kernel headers' >&2; exit 3";
        let error = at_work(shell(script), |line| line == TICK).unwrap_err();
        let said = "it ended with exit status 3 and said: no kernel headers";
        assert_eq!(error.to_string(), said);
        let error = at_work(shell("exit 1"), |line| line == TICK).unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status 1");
    }

    #[test]
    fn a_tool_at_work_is_kept() {
        let mut child = at_work(shell("echo a; echo b; cat"), |line| line == "b").unwrap();
        // Its input is empty.
        assert!(child.wait(LIMIT, || ()).unwrap().success());
    }
}
