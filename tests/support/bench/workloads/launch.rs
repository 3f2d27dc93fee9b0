//! How a target is started: alone, or under a tool.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where packages put what heaptrack loads into programs.
const HEAPTRACK: [&str; 3] = [
    "/usr/lib/heaptrack/libheaptrack_preload.so",
    "/usr/lib64/heaptrack/libheaptrack_preload.so",
    "/usr/local/lib/heaptrack/libheaptrack_preload.so",
];

/// What comes before a program's name, and its environment.
#[derive(Debug, Default)]
pub struct Launch {
    before: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    /// Part of the name of a file that the process has mapped if the tool is in it.
    mark: Option<&'static str>,
}

impl Launch {
    /// Under heaptrack, as its script does it, but with `data` for what it would send to its interpreter.
    pub fn heaptrack(data: &Path) -> Result<Self> {
        let library = HEAPTRACK.iter().find(|path| Path::new(path).exists());
        Ok(Self {
            before: Vec::new(),
            environment: vec![
                ("LD_PRELOAD", library.context("not found")?.into()),
                ("DUMP_HEAPTRACK_OUTPUT", data.into()),
            ],
            mark: Some("libheaptrack_preload"),
        })
    }

    /// Under valgrind's memcheck.
    pub fn valgrind() -> Result<Self> {
        ensure!(on_path("valgrind"), "not found");
        let before = [
            "valgrind",
            "--quiet",
            "--leak-check=full",
            "--log-file=/dev/null",
        ];
        Ok(Self {
            before: before.map(OsString::from).to_vec(),
            environment: Vec::new(),
            mark: Some("vgpreload_memcheck"),
        })
    }

    /// The command that starts `program`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut words = self.before.iter().map(OsString::as_os_str);
        let mut command = match words.next() {
            None => Command::new(program),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
        };
        let environment = self.environment.iter();
        command.envs(environment.map(|(name, value)| (name, value)));
        command
    }

    /// An error unless the tool is in the process.
    pub fn check(&self, pid: u32) -> Result<()> {
        let Some(mark) = self.mark else {
            return Ok(());
        };
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        ensure!(maps.contains(mark), "the process has no {mark}");
        Ok(())
    }
}

/// Whether there is a program of this name.
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}
