//! Where results go and how they look: the options of every command that writes some.

use std::marker::PhantomData;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::write::{Destination, Options, Weigh, Writer, Written, registry};

/// The options; `T`: what is written.
#[derive(Debug, Args)]
pub struct Output<T: Written> {
    /// Write to this file, in the format of its extension; `-` is stdout; repeatable
    #[arg(short = 'o', long = "output", value_name = "FILE", help = output_help::<T>())]
    files: Vec<PathBuf>,

    /// Format of stdout [default: text, when no file is asked for]
    #[arg(short, long, value_name = "NAME", value_parser = format_names::<T>())]
    format: Option<String>,

    /// What widths and the order of rows go by
    #[arg(long, value_enum, default_value_t)]
    weight: WeightArg,

    /// Rows in the text report
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Title of the flame graph
    #[arg(long)]
    title: Option<String>,

    #[arg(skip)]
    of: PhantomData<fn(T)>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum WeightArg {
    #[default]
    Bytes,
    Count,
}

/// What was asked for, each thing that can be refused beforehand looked at.
pub struct Outputs<T: 'static> {
    all: Vec<(Destination, &'static dyn Writer<T>)>,
    options: Options,
}

impl<T: Written> Output<T> {
    /// Fails when a file's name does not tell its format, or it could not be written. To be asked before the
    /// work is done.
    pub fn resolve(self) -> anyhow::Result<Outputs<T>> {
        let on_stdout = registry::by_name::<T>(self.format.as_deref().unwrap_or("text"))?;
        let mut all = Vec::new();
        for path in &self.files {
            let destination = Destination::parse(path);
            let writer = match destination {
                Destination::Stdout => on_stdout,
                Destination::File(_) => registry::by_path::<T>(path)?,
            };
            all.push((destination, writer));
        }
        let stdout = all.iter().any(|(to, _)| *to == Destination::Stdout);
        if all.is_empty() || (self.format.is_some() && !stdout) {
            all.push((Destination::Stdout, on_stdout));
        }
        for (destination, _) in &all {
            destination.check_writable()?;
        }
        Ok(Outputs {
            all,
            options: Options {
                weight: match self.weight {
                    WeightArg::Bytes => Weigh::Bytes,
                    WeightArg::Count => Weigh::Count,
                },
                top: self.top,
                title: self.title,
            },
        })
    }
}

impl<T> Outputs<T> {
    /// Writes every output, also when one fails; then fails with all the failures.
    pub fn write(&self, it: &T) -> anyhow::Result<()> {
        let failures = self
            .all
            .iter()
            .filter_map(|(to, writer)| {
                let written = to.write(|out| writer.write(it, &self.options, out));
                written.err().map(|error| format!("{error:#}"))
            })
            .collect::<Vec<_>>();
        if failures.is_empty() {
            return Ok(());
        }
        anyhow::bail!("{}", failures.join("; "))
    }
}

fn format_names<T: Written>() -> PossibleValuesParser {
    registry::names::<T>().into()
}

fn output_help<T: Written>() -> String {
    format!(
        "Write to this file, in the format of its extension ({}); `-` is stdout; repeatable",
        registry::extensions::<T>().join(" ")
    )
}
