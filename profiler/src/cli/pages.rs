//! `unfreed pages`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::record::Record;
use crate::bpf::FaultEvents;
use crate::pipeline::What;

/// Pages that were touched during the recording and are resident at its end: whose touch made RSS grow.
#[derive(Debug, Args)]
pub struct Pages {
    #[command(flatten)]
    record: Record,

    /// How many touched pages to keep track of at least; costs 16 bytes of kernel memory each, and 32 to 130
    /// more for each page that was touched (before Linux 6.1: 130 each from the start) [default: 4000000;
    /// before Linux 6.1: 1000000]
    #[arg(long = "max-pages", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    most: Option<u32>,

    /// How the kernel tells of page faults: auto takes tracepoints, and perf events where there are
    /// none
    #[arg(long, value_enum, default_value_t)]
    fault_events: EventsArg,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum EventsArg {
    #[default]
    Auto,
    /// The tracepoints `exceptions:page_fault_*` (x86)
    Tracepoints,
    /// The perf event `page-faults` (any machine; cannot tell a copy from a first touch)
    Perf,
}

impl Pages {
    /// Records and writes.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.record.run(What::Pages {
            max_pages: self.most,
            events: match self.fault_events {
                EventsArg::Auto => None,
                EventsArg::Tracepoints => Some(FaultEvents::Tracepoints),
                EventsArg::Perf => Some(FaultEvents::Perf),
            },
        })
    }
}
