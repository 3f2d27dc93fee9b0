//! What all views' commands have in common: the target, how long, how, and where to.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::terminal::Terminal;
use super::{LOST, time};
use crate::pipeline::{self, Selection, Settings, What};
use crate::profile::{Mode, Profile, Unwind};
use crate::write::{self, Destination, Options, WRITERS, Weigh, Writer};

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

    /// Write to this file, in the format of its extension; `-` is stdout; repeatable
    #[arg(short, long, value_name = "FILE", help = output_help())]
    output: Vec<PathBuf>,

    /// Format of stdout [default: text, when no file is asked for]
    #[arg(short, long, value_name = "NAME", value_parser = format_names())]
    format: Option<String>,

    /// Everything taken during the recording, given back or not
    #[arg(long)]
    all: bool,

    /// Leave out what is younger than this at the end; 0 keeps all
    #[arg(long, value_name = "TIME", value_parser = time::parse, default_value = "500ms")]
    min_age: Duration,

    /// What widths and the order of rows go by
    #[arg(long, value_enum, default_value_t)]
    weight: WeightArg,

    /// Rows in the text report
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Title of the flame graph
    #[arg(long)]
    title: Option<String>,

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
enum WeightArg {
    #[default]
    Bytes,
    Count,
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
        // What can be refused is refused before recording.
        let outputs = self.outputs()?;
        for (destination, _) in &outputs {
            destination.check_writable()?;
        }
        let options = Options {
            weight: match self.weight {
                WeightArg::Bytes => Weigh::Bytes,
                WeightArg::Count => Weigh::Count,
            },
            top: self.top,
            title: self.title.clone(),
        };
        let mut terminal = Terminal::new(self.quiet);
        let recorded = pipeline::record(&self.into_settings(what), &mut terminal)?;
        write_all(&recorded.profile, &options, &outputs)?;
        Ok(match recorded.profile.lost() {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(LOST),
        })
    }

    fn outputs(&self) -> anyhow::Result<Vec<(Destination, &'static dyn Writer)>> {
        let on_stdout = write::by_name(self.format.as_deref().unwrap_or("text"))?;
        let mut outputs = Vec::new();
        for path in &self.output {
            let destination = Destination::parse(path);
            let writer = match destination {
                Destination::Stdout => on_stdout,
                Destination::File(_) => write::by_path(path)?,
            };
            outputs.push((destination, writer));
        }
        let stdout = outputs.iter().any(|(to, _)| *to == Destination::Stdout);
        if outputs.is_empty() || (self.format.is_some() && !stdout) {
            outputs.push((Destination::Stdout, on_stdout));
        }
        Ok(outputs)
    }

    fn into_settings(self, what: What) -> Settings {
        Settings {
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
            what,
        }
    }
}

/// Writes every output, also when one fails; then fails with all the failures.
fn write_all(
    profile: &Profile,
    options: &Options,
    outputs: &[(Destination, &'static dyn Writer)],
) -> anyhow::Result<()> {
    let failures = outputs
        .iter()
        .filter_map(|(to, writer)| {
            let written = to.write(|out| writer.write(profile, options, out));
            written.err().map(|error| format!("{error:#}"))
        })
        .collect::<Vec<_>>();
    if failures.is_empty() {
        return Ok(());
    }
    anyhow::bail!("{}", failures.join("; "))
}

fn format_names() -> clap::builder::PossibleValuesParser {
    WRITERS
        .iter()
        .map(|writer| writer.name())
        .collect::<Vec<_>>()
        .into()
}

fn output_help() -> String {
    let extensions = WRITERS
        .iter()
        .map(|writer| format!(".{}", writer.extension()))
        .collect::<Vec<_>>();
    format!(
        "Write to this file, in the format of its extension ({}); `-` is stdout; repeatable",
        extensions.join(" ")
    )
}
