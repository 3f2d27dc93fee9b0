//! Another eBPF profiler at work on the same process: bpftrace samples the target's stacks all the
//! while, and neither gets in the other's way.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use unfreed_tests::child::{Lines, Owned, describe};
use unfreed_tests::compare::{Side, compare};
use unfreed_tests::matrix::{Allocator, Case};
use unfreed_tests::unfreed::Unfreed;

const LIMIT: Duration = Duration::from_mins(2);

/// Printed by a program in the kernel, so that it is there means that the others are attached.
const TICK: &str = "sampling";

/// How many samples with the target's stack are needed to say that it was sampled all the while.
const ENOUGH: u64 = 20;

/// A bpftrace that samples one process.
struct Sampler {
    child: Owned,
    stdout: Lines,
    stderr: Lines,
}

impl Sampler {
    /// Starts it and waits until it samples.
    fn of(pid: u32, hertz: u32) -> Result<Self> {
        let script = format!(
            "profile:hz:{hertz} /pid == {pid}/ {{ @[ustack] = count(); }}\n\
             interval:ms:200 {{ printf(\"{TICK}\\n\"); }}"
        );
        let mut command = Command::new("bpftrace");
        command
            .args(["-B", "line", "-e", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Owned::spawn(&mut command)
            .context("bpftrace does not run: apt-get install bpftrace, or cargo xtask setup")?;
        let stdout = Lines::of(child.child().stdout.take().context("bpftrace's output")?);
        let stderr = Lines::of(child.child().stderr.take().context("bpftrace's errors")?);
        let mut sampler = Self {
            child,
            stdout,
            stderr,
        };
        sampler.tick()?;
        Ok(sampler)
    }

    /// Waits for the next sign of life.
    fn tick(&mut self) -> Result<()> {
        while let Some(line) = self.stdout.next(LIMIT)? {
            if line == TICK {
                return Ok(());
            }
        }
        let status = self.child.wait(LIMIT, || ())?;
        let said = self.stderr.rest(LIMIT)?;
        bail!("bpftrace ended with {}: {said}", describe(status));
    }

    /// Ends it as its user would; what it printed.
    fn stop(mut self) -> Result<String> {
        // All signs of life so far.
        while let Ok(Some(_)) = self.stdout.next(Duration::ZERO) {}
        self.tick()?;
        let pid = Pid::from_raw(self.child.pid().cast_signed());
        kill(pid, Signal::SIGINT).context("interrupting bpftrace")?;
        let text = self.stdout.rest(LIMIT)?;
        let status = self.child.wait(LIMIT, || ())?;
        let said = self.stderr.rest(LIMIT)?;
        ensure!(
            status.success(),
            "bpftrace ended with {}: {said}",
            describe(status)
        );
        Ok(text)
    }
}

/// Samples by whether there is a stack of the target with them: of those with one, those without.
/// An entry of bpftrace's map is `@[`, frames, one a line, and `]: ` with the count.
fn samples(text: &str) -> Result<(u64, u64)> {
    let (mut with, mut without, mut frames) = (0, 0, 0_usize);
    for line in text.lines() {
        if line.starts_with("@[") {
            frames = usize::from(!line.contains("]: "));
        }
        if let Some((_, count)) = line.split_once("]: ") {
            let count: u64 = count.trim().parse().context("bpftrace's count")?;
            *(if frames > 1 { &mut with } else { &mut without }) += count;
            frames = 0;
        } else if frames > 0 && !line.trim().is_empty() {
            frames += 1;
        }
    }
    Ok((with, without))
}

/// Records a case while it is sampled.
fn check(case: Case, hertz: u32) -> Result<()> {
    let mut program = case.start()?;
    let sampler = Sampler::of(program.pid(), hertz)?;
    let unfreed = Unfreed::heap(program.pid(), &[])?;
    let ledger = program.run()?;
    let recording = unfreed.stop()?;
    let text = sampler.stop()?;
    program.finish().context("the program was harmed")?;

    let differences = compare(&ledger, &recording.report, Side::Outstanding);
    let wrong: Vec<String> = differences.iter().map(ToString::to_string).collect();
    ensure!(wrong.is_empty(), "{case}:\n  {}", wrong.join("\n  "));
    let (with, without) = samples(&text)?;
    println!("{case}: {with} samples with a stack, {without} without");
    ensure!(
        with >= ENOUGH,
        "only {with} samples with a stack, {without} without; bpftrace printed:\n{text}"
    );
    Ok(())
}

/// Hundreds of threads exit. A sample of a thread's stack that came while the kernel freed what it keeps
/// of a thread that met a probe was a panic in `is_uprobe_at_func_entry` (Linux cfa7f3d2c526 without
/// b583ef82b671: 6.1.113 to 6.1.130, 6.6.55 to 6.6.82, 6.11.3 to 6.12.18).
#[test]
fn threads_are_exact_beside_a_profiler() -> Result<()> {
    let case = Case {
        program: "threads",
        allocator: Allocator::Glibc,
    };
    check(case, 99)
}

/// Exceptions, signals, forks.
#[test]
fn a_mixture_is_exact_beside_a_profiler() -> Result<()> {
    let case = Case {
        program: "mixer",
        allocator: Allocator::Glibc,
    };
    check(case, 99)
}

#[test]
fn threads_are_exact_beside_a_fast_profiler() -> Result<()> {
    let case = Case {
        program: "threads",
        allocator: Allocator::Mimalloc,
    };
    check(case, 499)
}

#[test]
fn samples_are_counted_by_whether_they_have_a_stack() -> Result<()> {
    let text = "\n\n@[]: 7\n@[\n    malloc+3\n    main+5\n]: 12\n@[\n    0x7f00\n]: 3\n";
    assert_eq!(samples(text)?, (15, 7));
    Ok(())
}
