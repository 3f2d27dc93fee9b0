//! What all views' commands have in common: the target, how long, how, and where to.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::LOST;
use super::output::Output;
use super::terminal::Terminal;
use crate::pipeline::{self, Footprint, Selection, Settings, What};
use crate::profile::{Mode, Profile, Unwind};
use crate::quantity::time;

/// The options of every view.
#[derive(Debug, Args)]
pub struct Record {
    /// Process to profile
    #[arg(
        short,
        long,
        required_unless_present = "command",
        conflicts_with = "command"
    )]
    pid: Option<u32>,

    /// How long to record, such as 60, 500ms, 5m [default: until Ctrl-C or the target's end]
    #[arg(short, long, value_name = "TIME", value_parser = time::parse)]
    duration: Option<Duration>,

    #[command(flatten)]
    output: Output<Profile>,

    /// Everything taken during the recording, given back or not
    #[arg(long)]
    all: bool,

    /// Leave out what is younger than this at the end; 0 keeps all
    #[arg(long, value_name = "TIME", value_parser = time::parse, default_value = "500ms")]
    min_age: Duration,

    /// How stacks are walked: auto takes unwind tables, and frame pointers where there are none
    #[arg(long, value_enum, default_value_t)]
    unwind: UnwindArg,

    /// No progress line
    #[arg(short, long)]
    quiet: bool,

    /// Command to start and to profile from its first instruction
    #[arg(last = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum UnwindArg {
    #[default]
    Auto,
    /// Frame pointers only
    Fp,
    /// Unwind tables only
    Tables,
}

impl Record {
    /// Records and writes.
    pub fn run(self, what: What) -> anyhow::Result<ExitCode> {
        let settings = Settings {
            selection: match self.pid {
                Some(pid) => Selection::Pid(pid),
                None => Selection::Command(self.command),
            },
            duration: self.duration,
            min_age: self.min_age,
            mode: if self.all { Mode::All } else { Mode::Unfreed },
            unwind: match self.unwind {
                UnwindArg::Auto => Unwind::Auto,
                UnwindArg::Fp => Unwind::FramePointers,
                UnwindArg::Tables => Unwind::Tables,
            },
            footprint: Footprint::ALONE,
            what,
        };
        // What can be refused is refused before recording.
        let outputs = self.output.resolve()?;
        let mut terminal = Terminal::new(self.quiet);
        let recorded = pipeline::record(&settings, &mut terminal)?;
        outputs.write(&recorded.profile)?;
        Ok(match recorded.profile.lost() {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(LOST),
        })
    }
}
