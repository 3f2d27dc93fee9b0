//! A running `unfreed daemon`, asked over HTTP.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::child::{Lines, Owned, describe};
use crate::paths;
use crate::report::Report;

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// How often a daemon is asked whether something has happened.
const AGAIN: Duration = Duration::from_millis(100);

/// A daemon with a store and a configuration of its own. Also a [`Client`] of it.
#[derive(Debug)]
pub struct Daemon {
    child: Owned,
    stderr: Lines,
    client: Client,
    files: Files,
}

/// Who asks a daemon.
#[derive(Debug, Clone)]
pub struct Client {
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Deref for Daemon {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Where a daemon's files are. Outlives the daemon, so that the next one finds what this one left.
#[derive(Debug)]
pub struct Files {
    directory: tempfile::TempDir,
    store: Option<PathBuf>,
}

impl Files {
    /// In a directory of their own.
    pub fn new() -> Result<Self> {
        Ok(Self {
            directory: tempfile::tempdir().context("creating a directory for the daemon")?,
            store: None,
        })
    }

    /// With the store elsewhere.
    pub fn with_store(store: &Path) -> Result<Self> {
        Ok(Self {
            store: Some(store.to_owned()),
            ..Self::new()?
        })
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        let here = || self.directory.path().join("store");
        self.store.clone().unwrap_or_else(here)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    /// Where the socket is, if the configuration has one.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("unfreed.sock")
    }

    /// Makes all of it another user's; anybody may go through, to the socket.
    pub fn hand_to(&self, uid: u32) -> Result<()> {
        let path = self.directory.path();
        std::os::unix::fs::chown(path, Some(uid), Some(uid)).context("giving a directory away")?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).context("opening a directory")
    }

    /// Writes the configuration: a port that is free, the store, and these targets (tables of TOML).
    pub fn configure(&self, targets: &str) -> Result<()> {
        let text = format!(
            "sample_every = \"1s\"\n[http]\nlisten = \"127.0.0.1:0\"\n[store]\ndirectory = \"{}\"\n{targets}",
            self.store().display()
        );
        std::fs::write(self.config(), text).context("writing the daemon's configuration")
    }
}

impl Daemon {
    /// Starts one with these targets, and waits until it is ready.
    pub fn start(targets: &str) -> Result<Self> {
        let files = Files::new()?;
        files.configure(targets)?;
        Self::with(files)
    }

    /// Starts one on files that are there, and waits until it is ready.
    pub fn with(files: Files) -> Result<Self> {
        let command = Command::new(paths::unfreed()?);
        Self::by(command, files)
    }

    /// The same by another command, to which the daemon's arguments are added.
    pub fn by(mut command: Command, files: Files) -> Result<Self> {
        command
            .args(["daemon", "--config"])
            .arg(files.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = Owned::spawn(&mut command).context("starting the daemon")?;
        let stderr = Lines::of(child.child().stderr.take().context("the daemon's stderr")?);
        let mut said = String::new();
        let mut address = None;
        while let Some(line) = stderr.next(LIMIT).with_context(|| said.clone())? {
            if let Some((_, found)) = line.split_once("address=") {
                address = found.split_whitespace().next().map(str::to_owned);
            }
            said.push_str(&line);
            said.push('\n');
            if line.ends_with("ready") {
                let address = address.context("the daemon does not say where it listens")?;
                return Ok(Self {
                    child,
                    stderr,
                    client: Client { address },
                    files,
                });
            }
        }
        let status = child.wait(LIMIT, || ())?;
        bail!("the daemon ended with {}: {said}", describe(status))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).context("sending a signal")
    }

    /// Waits for this word in what it logs from now on.
    pub fn until_said(&self, words: &str) -> Result<String> {
        while let Some(line) = self.stderr.next(LIMIT)? {
            if line.contains(words) {
                return Ok(line);
            }
        }
        bail!("the daemon ended without saying {words:?}")
    }

    /// Has it end by SIGTERM: how it ended, what it said since it was ready, how long that took, and its files.
    pub fn end(mut self) -> Result<(ExitStatus, String, Duration, Files)> {
        let begin = Instant::now();
        self.signal(Signal::SIGTERM)?;
        let status = self.child.wait(LIMIT, || ())?;
        let took = begin.elapsed();
        Ok((status, self.stderr.rest(LIMIT)?, took, self.files))
    }

    /// Ends it by SIGKILL; its files.
    pub fn kill(mut self) -> Result<Files> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait(LIMIT, || ())?;
        Ok(self.files)
    }
}

impl Client {
    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        self.ask(&ureq::http::Method::GET, path, String::new())
    }

    /// The JSON at this path.
    pub fn json(&self, path: &str) -> Result<Value> {
        let (status, body) = self.get(path)?;
        if status != 200 {
            bail!("GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).with_context(|| format!("GET {path} is not JSON"))
    }

    /// Status and JSON of a POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let (status, body) = self.ask(&ureq::http::Method::POST, path, body.to_string())?;
        Ok((
            status,
            serde_json::from_slice(&body).context("the answer is not JSON")?,
        ))
    }

    fn ask(&self, method: &ureq::http::Method, path: &str, body: String) -> Result<(u16, Vec<u8>)> {
        let asking = || format!("{method} {path}");
        let request = ureq::http::Request::builder()
            .method(method.clone())
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .body(body)
            .with_context(asking)?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT))
            .build()
            .into();
        let mut answer = agent.run(request).with_context(asking)?;
        let body = answer.body_mut().read_to_vec().with_context(asking)?;
        Ok((answer.status().as_u16(), body))
    }

    /// Asks for this path until `enough` is found in it; what that was.
    pub fn until<T>(&self, path: &str, enough: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let begin = Instant::now();
        loop {
            let value = self.json(path)?;
            if let Some(found) = enough(&value) {
                return Ok(found);
            }
            if begin.elapsed() > LIMIT {
                bail!("GET {path} has not come to what it should be: {value:#}");
            }
            // Not for readiness: the interval of a poll that has a limit.
            std::thread::sleep(AGAIN);
        }
    }

    /// Waits until this view of the process is being recorded.
    pub fn until_recorded(&self, pid: u32, view: &str) -> Result<()> {
        self.until("/api/v1/targets", |status| {
            let process = process(status, pid)?;
            (process["recordings"][view]["attached"] == Value::Bool(true)).then_some(())
        })
        .with_context(|| format!("waiting for a recording of {pid}"))
    }

    /// Waits until the process's size is read anew and like this.
    pub fn until_read(&self, pid: u32, is_it: impl Fn(u64) -> bool) -> Result<()> {
        let samples = |status: &Value| {
            let samples = process(status, pid)?["samples"].as_array()?;
            let last = samples.last()?;
            Some((last["at"].clone(), last["rss"].as_u64()?))
        };
        let before = samples(&self.json("/api/v1/targets")?);
        self.until("/api/v1/targets", |status| {
            let now = samples(status)?;
            (Some(&now.0) != before.as_ref().map(|before| &before.0) && is_it(now.1)).then_some(())
        })
        .with_context(|| format!("waiting for the size of {pid}"))
    }

    /// Waits for a stored recording that `is_it`; its entry.
    pub fn until_stored(&self, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until("/api/v1/recordings", |list| {
            let mut all = entries(list)?.iter();
            all.find(|entry| is_it(entry)).cloned()
        })
        .context("waiting for a recording to be stored")
    }

    /// A stored recording.
    pub fn report(&self, entry: &Value) -> Result<Report> {
        let id = entry["id"].as_str().context("an entry without a name")?;
        let (status, body) = self.get(&format!("/api/v1/recordings/{id}/json"))?;
        if status != 200 {
            bail!("recording {id}: {status}");
        }
        Report::parse(&String::from_utf8(body)?)
    }
}

/// A process in what `/api/v1/targets` says.
pub fn process(status: &Value, pid: u32) -> Option<&Value> {
    let targets = status["targets"].as_array()?;
    let mut processes = targets
        .iter()
        .filter_map(|target| target["processes"].as_array())
        .flatten();
    processes.find(|process| process["pid"] == pid)
}

/// The list in what `/api/v1/recordings` says.
pub fn entries(list: &Value) -> Option<&Vec<Value>> {
    list["recordings"].as_array().or_else(|| list.as_array())
}
