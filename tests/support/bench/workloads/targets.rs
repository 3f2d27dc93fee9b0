//! Processes that do a fixed amount of work when they are asked, and tell what it took.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::child::{Lines, Owned, describe};
use unfreed_tests::redis::Redis;

use super::launch::Launch;
use crate::worker::Worker;

/// A batch takes some ten milliseconds; only one that hangs takes this long.
const LIMIT: Duration = Duration::from_mins(1);

/// How deep the loop is, and how many C++ objects there are at a time.
const DEPTH: u32 = 16;
const AT_A_TIME: u32 = 200;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Pairs of malloc and free, and nothing else.
    Pairs,
    /// C++ objects that come and go.
    Objects,
    /// A server.
    Redis,
    /// A database in memory.
    Sqlite,
}

impl Workload {
    /// In the order of their columns.
    pub const ALL: [Self; 4] = [Self::Pairs, Self::Objects, Self::Redis, Self::Sqlite];

    /// What one of its units is called, the unit of its time, and how many nanoseconds that is.
    pub fn unit(self) -> (&'static str, &'static str, f64) {
        match self {
            Self::Pairs => ("malloc and free", "ns", 1.0),
            Self::Objects => ("C++ object", "ns", 1.0),
            Self::Redis => ("redis request", "µs", 1e3),
            Self::Sqlite => ("sqlite3 script", "µs", 1e3),
        }
    }

    /// How many units a batch has at least, what a batch is to take in milliseconds, and how many batches
    /// a median is of.
    pub fn batch(self) -> (u32, f64, usize) {
        match self {
            Self::Pairs => (500, 15.0, 9),
            Self::Objects => (AT_A_TIME, 30.0, 9),
            // A client and its connections come and go with each batch. With fewer connections the server
            // would now and then have nothing to do, and wake up for a few requests.
            Self::Redis => (2_000, 120.0, 5),
            Self::Sqlite => (2, 40.0, 7),
        }
    }
}

/// A running process.
pub struct Target(Kind);

enum Kind {
    Worker(Worker, u32),
    Redis(Redis),
    Sqlite(Sqlite),
}

impl Target {
    /// Starts it, alone or under a tool.
    pub fn start(workload: Workload, launch: &Launch) -> Result<Self> {
        let program = |name| build::program(name, Linkage::Dynamic);
        let worker = |name| Worker::start_as(launch.command(program(name)?));
        let kind = match workload {
            Workload::Pairs => Kind::Worker(worker("bench_pairs")?, DEPTH),
            Workload::Objects => Kind::Worker(worker("bench_objects")?, AT_A_TIME),
            Workload::Redis => Kind::Redis(Redis::start_as(launch.command("redis-server"))?),
            Workload::Sqlite => Kind::Sqlite(Sqlite::start(launch.command("sqlite3"))?),
        };
        Ok(Self(kind))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        match &self.0 {
            Kind::Worker(worker, _) => worker.pid(),
            Kind::Redis(redis) => redis.pid(),
            Kind::Sqlite(sqlite) => sqlite.child.pid(),
        }
    }

    /// Nanoseconds of the process's CPU time, user's and kernel's, that each of `count` units took.
    pub fn run(&mut self, count: u32) -> Result<f64> {
        let pid = self.pid();
        match &mut self.0 {
            Kind::Worker(worker, how) => worker.run(*how, count),
            Kind::Redis(redis) => timed(pid, count, || requests(redis.port(), count)),
            Kind::Sqlite(sqlite) => timed(pid, count, || sqlite.run(count)),
        }
    }
}

fn timed(pid: u32, count: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()));
    let clock = clock.context("finding the clock of a process")?;
    let before = nanoseconds(clock)?;
    work()?;
    Ok((nanoseconds(clock)? - before) / f64::from(count))
}

fn nanoseconds(clock: ClockId) -> Result<f64> {
    let time = clock.now().context("reading the clock of a process")?;
    Ok(Duration::from(time).as_nanos() as f64)
}

/// Half of them store, half of them ask.
fn requests(port: u16, count: u32) -> Result<()> {
    let mut command = Command::new("redis-benchmark");
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q"])
        .args(["-t", "set,get", "-d", "256", "-r", "10000"])
        .args(["-c", "16", "-P", "16", "-n", &(count / 2).to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut client = Owned::spawn(&mut command)
        .context("redis-benchmark does not run: apt-get install redis-tools")?;
    let status = client.wait(LIMIT, || ())?;
    ensure!(
        status.success(),
        "redis-benchmark ended with {}",
        describe(status)
    );
    Ok(())
}

/// sqlite3's shell, which waits for what it is to do.
struct Sqlite {
    child: Owned,
    stdin: ChildStdin,
    /// Its output to a pipe would be kept until it ends; its errors are not.
    stderr: Lines,
}

/// A table is made, filled, indexed, asked, changed, joined and dropped.
const SCRIPT: &str = "\
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, size INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
  INSERT INTO t SELECT i, printf('name %d', i * 7919 % 1000), i * 37 % 101 FROM n;
CREATE INDEX t_name ON t(name);
SELECT size, count(*), group_concat(name) FROM t GROUP BY size ORDER BY 2 DESC;
UPDATE t SET name = name || ' again' WHERE size % 3 = 0;
SELECT count(*) FROM t a JOIN t b ON a.name = b.name;
DROP TABLE t;
";

impl Sqlite {
    fn start(mut command: Command) -> Result<Self> {
        command
            .args(["-batch", "-init", "/dev/null", ":memory:"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child =
            Owned::spawn(&mut command).context("sqlite3 does not run: apt-get install sqlite3")?;
        let stdin = child.child().stdin.take().context("sqlite3's input")?;
        let stderr = child.child().stderr.take().context("sqlite3's errors")?;
        let mut sqlite = Self {
            child,
            stdin,
            stderr: Lines::of(stderr),
        };
        sqlite.run(0)?;
        Ok(sqlite)
    }

    /// Has it do the script so many times, and waits until it has.
    fn run(&mut self, count: u32) -> Result<()> {
        let mut text = String::from(".output /dev/null\n");
        for _ in 0..count {
            text += SCRIPT;
        }
        writeln!(text, ".output stderr\n.print done")?;
        let written = self.stdin.write_all(text.as_bytes());
        written.context("sqlite3 does not read")?;
        let line = self.stderr.next(LIMIT)?.context("sqlite3 has ended")?;
        ensure!(line == "done", "sqlite3 said {line:?}");
        Ok(())
    }
}
