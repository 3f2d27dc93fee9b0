//! A redis-server of our own: on a free port of the loopback, without persistence, ended by its
//! owner.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::child::{Lines, Owned};

const LIMIT: Duration = Duration::from_mins(2);
/// Keys whose answers are awaited together.
const BATCH: usize = 500;

/// A server that answers, and a connection to it.
#[derive(Debug)]
pub struct Redis {
    server: Owned,
    port: u16,
    stream: BufReader<TcpStream>,
    _directory: tempfile::TempDir,
    _log: Lines,
}

impl Redis {
    /// Starts a server and connects to it.
    pub fn start() -> Result<Self> {
        Self::start_as(Command::new("redis-server"))
    }

    /// The same, of a command that takes the server's arguments, such as one that runs it under a tool.
    pub fn start_as(mut command: Command) -> Result<Self> {
        let directory = tempfile::tempdir().context("creating a directory for redis")?;
        // Free now; if somebody is faster, redis says so and the test fails.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
            ])
            .args(["--port", &port.to_string(), "--logfile", "", "--dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut server = Owned::spawn(&mut command).context(
            "redis-server does not run: apt-get install redis-server, or cargo xtask setup",
        )?;
        let log = Lines::of(server.child().stdout.take().context("redis's log")?);
        let mut said = String::new();
        loop {
            let Some(line) = log.next(LIMIT)? else {
                bail!("redis-server ended early: {said}")
            };
            if line.contains("Ready to accept connections") {
                break;
            }
            said.push_str(&line);
            said.push('\n');
        }
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting to redis")?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self {
            server,
            port,
            stream: BufReader::new(stream),
            _directory: directory,
            _log: log,
        })
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `used_memory` of `INFO memory`, bytes.
    pub fn used_memory(&mut self) -> Result<u64> {
        self.memory("used_memory")
    }

    /// A number of `INFO memory`.
    pub fn memory(&mut self, name: &str) -> Result<u64> {
        self.send("INFO memory\r\n")?;
        let header = self.line()?;
        let length: usize = header
            .strip_prefix('$')
            .context("no bulk string")?
            .parse()?;
        let mut text = vec![0; length + 2];
        self.stream.read_exact(&mut text)?;
        String::from_utf8_lossy(&text)
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .with_context(|| format!("INFO memory has no {name}"))?
            .parse()
            .with_context(|| format!("{name} is no number"))
    }

    /// Sets these keys, the value of the nth having the size that `size` says.
    pub fn fill(&mut self, keys: Range<usize>, size: impl Fn(usize) -> usize) -> Result<()> {
        for first in keys.clone().step_by(BATCH) {
            let batch = first..keys.end.min(first + BATCH);
            let mut text = String::new();
            for n in batch.clone() {
                let (key, value) = (format!("key:{n:08}"), "v".repeat(size(n)));
                write!(
                    text,
                    "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
                    key.len(),
                    value.len()
                )?;
            }
            self.send(&text)?;
            for _ in batch {
                let answer = self.line()?;
                ensure!(answer == "+OK", "redis answered {answer:?} to SET");
            }
        }
        Ok(())
    }

    fn send(&mut self, text: &str) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(text.as_bytes())
            .context("writing to redis")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .context("reading from redis")?;
        Ok(line.trim_end().to_owned())
    }
}
