//! `unfreed check`.

use std::process::ExitCode;

use clap::Args;

use crate::bpf::{Bpf, LoadError, Sizes};
use crate::check::{self, Host, Kernel, NEEDS};
use crate::target::Target;

/// Whether this host, and a process, can be profiled.
#[derive(Debug, Args)]
pub struct Check {
    /// Also check this process
    #[arg(short, long)]
    pid: Option<u32>,
}

impl Check {
    /// Prints one line for each answer. Status 1 when one is no.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let host = Host::this()?;
        let mut answers = NEEDS
            .iter()
            .map(|&need| (format!("{need:?}"), host.ask(need)))
            .collect::<Vec<_>>();
        let mut notes = Vec::new();
        if answers.iter().all(|(_, answer)| answer.is_ok()) {
            let kernel = Kernel::probe(&host.sysfs)?;
            notes = kernel.notes();
            answers.push(("Programs".into(), load(kernel)));
        }
        if let Some(pid) = self.pid {
            answers.push((format!("Process {pid}"), Target::running(pid).map(drop)));
        }
        let mut status = ExitCode::SUCCESS;
        for (what, answer) in answers {
            match answer {
                Ok(()) => println!("ok    {what}"),
                Err(error) => {
                    println!("FAIL  {what}: {error:#}");
                    status = ExitCode::FAILURE;
                }
            }
        }
        for note in notes {
            println!("note  {note}");
        }
        for trap in check::traps() {
            println!("note  {trap}");
        }
        Ok(status)
    }
}

/// Whether the kernel takes every program. What its verifier says when not is on stderr.
fn load(kernel: Kernel) -> anyhow::Result<()> {
    let mut bpf = Bpf::load(Sizes::small(kernel.memory))?;
    let loaded = bpf.load_all();
    if let Err(LoadError::Refused { log, .. }) = &loaded {
        eprintln!("{log}");
    }
    Ok(loaded?)
}
