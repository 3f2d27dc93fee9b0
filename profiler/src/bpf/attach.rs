//! Attaches programs to functions of a file, for one process.

use std::num::NonZeroU32;
use std::path::Path;

use aya::programs::perf_event::{
    PerfEventConfig, PerfEventLink, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::programs::{BtfTracePoint, PerfEvent, ProgramError, TracePoint};
use aya::util::online_cpus;
use thiserror::Error;

use super::load::{Bpf, LoadError};
use super::multi::LinkError;
use super::pausable::Kind;
use crate::allocator::{Function, Returns, Shape};

/// One place to attach one program to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    pub(super) program: &'static str,
    pub(super) offset: u64,
    /// The kernel single-steps the instruction there.
    pub(super) single_stepped: bool,
}

/// How the kernel tells of page faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEvents {
    /// The tracepoints `exceptions:page_fault_user` and `page_fault_kernel`: x86 only.
    Tracepoints,
    /// perf's software event, everywhere; it does not tell whether a page was there.
    Perf,
}

/// Why a probe could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The program could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Which processors there are is not known.
    #[error("the online processors cannot be read: {0}")]
    Processors(std::io::Error),
    /// The kernel refused the probe.
    #[error("the kernel refused a probe: {0:#}")]
    Refused(#[from] Box<ProgramError>),
    /// The kernel refused a link of several.
    #[error("the kernel refused a probe: {0}")]
    Link(#[from] LinkError),
}

impl Probe {
    /// The probes that `function` needs; `None` when no program is for it.
    pub fn of(function: &Function) -> Option<Vec<Self>> {
        let throwing = matches!(function.returns, Returns::Instructions(_));
        let program = match (function.shape, function.site.shift, throwing) {
            (Shape::Size, 0, false) | (Shape::SizeSecond, -1, false) => "heap_size",
            (Shape::Size, 0, true) => "heap_size_throwing",
            (Shape::Count, 0, false) => "heap_count",
            (Shape::Count, 0, true) => "heap_count_throwing",
            (Shape::SizeSecond, 0, false) | (Shape::Size, 1, false) => "heap_size_second",
            (Shape::OutPointer, 0, false) => "heap_out_pointer",
            (Shape::Realloc, 0, false) => "heap_realloc",
            (Shape::Realloc, 1, false) => "heap_realloc_second",
            (Shape::Realloc, 0, true) => "heap_realloc_throwing",
            (Shape::ReallocArray, 0, false) => "heap_realloc_array",
            (Shape::ReallocArray, 0, true) => "heap_realloc_array_throwing",
            (Shape::Resize, 0, false) => "heap_resize",
            (Shape::Free, 0, false) => "heap_free",
            _ => return None,
        };
        let mut probes = match &function.returns {
            Returns::Ignored => Vec::new(),
            Returns::Trampoline => vec![Self {
                program: "heap_return",
                offset: function.site.offset,
                single_stepped: false,
            }],
            Returns::Instructions(offsets) => offsets
                .iter()
                .map(|&offset| Self {
                    program: "heap_return_instruction",
                    offset,
                    // A `ret` is.
                    single_stepped: true,
                })
                .collect(),
        };
        probes.push(Self {
            program,
            offset: function.site.offset,
            single_stepped: function.site.single_stepped,
        });
        Some(probes)
    }

    /// One whose program does nothing when the function's first argument is null, at this file offset.
    pub fn nothing(offset: u64) -> Self {
        Self::on("heap_free", offset)
    }

    /// One whose program does nothing while nothing is recorded, on the return of the function at this file
    /// offset.
    pub fn nothing_on_return(offset: u64) -> Self {
        Self::on("heap_return", offset)
    }

    /// Whether its program runs when the function returns to the kernel's trampoline.
    pub(super) fn returns(&self) -> bool {
        matches!(self.program, "heap_return" | "mremap_return")
    }

    pub(super) fn kind(&self) -> Kind {
        match self.program {
            _ if self.returns() => Kind::Return,
            _ if self.single_stepped => Kind::SingleStepped,
            _ => Kind::Emulated,
        }
    }

    fn on(program: &'static str, offset: u64) -> Self {
        Self {
            program,
            offset,
            single_stepped: false,
        }
    }

    /// The probe on `_dl_debug_state` at this file offset.
    pub fn linker_state(offset: u64) -> Self {
        Self::on("linker_state", offset)
    }

    /// The probes on `mremap` at this file offset.
    pub fn mremap(offset: u64) -> [Self; 2] {
        ["mremap_return", "mremap"].map(|program| Self::on(program, offset))
    }

    /// The probe on `__cxa_begin_catch` at this file offset.
    pub fn caught(offset: u64) -> Self {
        Self::on("heap_caught", offset)
    }
}

/// How often the processors' clocks are sampled: nanoseconds of each one's time. No divisor of what timers go by.
const CLOCK_PERIOD: u64 = 499_979;

/// Samples of the processors' clocks are taken as long as this lives.
#[expect(dead_code, reason = "what it holds is in the kernel")]
pub struct ClockSamples(Vec<PerfEventLink>);

impl Bpf {
    /// Attaches `probe` to the file at `path`, for the threads of the address space of `pid`.
    pub fn attach(
        &mut self,
        probe: Probe,
        path: &Path,
        pid: NonZeroU32,
    ) -> Result<(), AttachError> {
        let link = self.link(probe, path, pid)?;
        self.kept.push(link);
        Ok(())
    }

    /// Attaches the programs that follow the life of processes. Needs tracefs.
    pub fn attach_process_events(&mut self) -> Result<(), AttachError> {
        for (program, category, name) in [
            ("process_exec", "sched", "sched_process_exec"),
            ("process_exit", "sched", "sched_process_exit"),
            ("signal_deliver", "signal", "signal_deliver"),
        ] {
            self.program::<TracePoint>(program)?
                .attach(category, name)
                .map_err(Box::new)?;
        }
        Ok(())
    }

    /// Attaches the programs that take page faults, those of all processes: they leave the others' at
    /// once.
    pub fn attach_faults(&mut self, events: FaultEvents) -> Result<(), AttachError> {
        match events {
            FaultEvents::Tracepoints => {
                self.program::<TracePoint>("task_newtask")?
                    .attach("task", "task_newtask")
                    .map_err(Box::new)?;
                for name in ["page_fault_user", "page_fault_kernel"] {
                    let program = self.program::<BtfTracePoint>(name)?;
                    program.attach().map_err(Box::new)?;
                }
            }
            FaultEvents::Perf => {
                for cpu in online_cpus().map_err(|(_, error)| AttachError::Processors(error))? {
                    self.program::<PerfEvent>("page_fault_counted")?
                        .attach(
                            PerfEventConfig::Software(SoftwareEvent::PageFaults),
                            PerfEventScope::AllProcessesOneCpu { cpu },
                            SamplePolicy::Period(1),
                            false,
                        )
                        .map_err(Box::new)?;
                }
            }
        }
        Ok(())
    }
    /// Begins to sample the processors' clocks. One that goes offline meanwhile is left out.
    pub fn sample_clocks(&mut self) -> Result<ClockSamples, AttachError> {
        let processors = online_cpus().map_err(|(_, error)| AttachError::Processors(error))?;
        let program = self.program::<PerfEvent>("clock_sample")?;
        let mut links = Vec::new();
        for cpu in processors {
            let attached = program.attach(
                PerfEventConfig::Software(SoftwareEvent::CpuClock),
                PerfEventScope::AllProcessesOneCpu { cpu },
                SamplePolicy::Period(CLOCK_PERIOD),
                false,
            );
            match attached {
                Ok(id) => links.push(program.take_link(id).map_err(Box::new)?),
                Err(error) => tracing::debug!(cpu, %error, "a processor's clock is not sampled"),
            }
        }
        Ok(ClockSamples(links))
    }
}
