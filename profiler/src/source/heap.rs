//! The heap view: probes on the functions of every allocator the process has.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use anyhow::bail;
use unfreed_common::alloc::Block;
use unfreed_common::sample::Sampling;

use crate::allocator::{self, Hints, Plan, Returns};
use crate::bpf::{Bpf, Probe, Walkers};
use crate::check;
use crate::profile::{Process, Reconciliation, Sampled, Slices, Unwind, View, Weight};
use crate::source::sampling::{sampling, weight, whole};
use crate::source::{Outcome, Source, Unfreed, Unstripped};
use crate::target::{Module, Modules};
use crate::warning::Warning;

/// The state of the heap probes on one process.
pub struct Heap {
    pid: NonZeroU32,
    hints: Hints,
    unstripped: Option<Unstripped>,
    /// Paths of the modules whose allocator is probed.
    allocators: BTreeSet<String>,
    /// Functions that are probed.
    functions: usize,
    /// What is doubtful so far.
    warnings: Vec<Warning>,
    /// Whether the executable is static and stripped.
    stripped_static: bool,
    /// Whether a probed function may be left by an exception.
    throwing: bool,
    /// Modules whose `__cxa_begin_catch` is probed.
    caught: BTreeSet<usize>,
    /// How blocks are sampled; `None`: every one is recorded.
    sampling: Option<Box<Sampling>>,
    /// How many blocks the result is of.
    blocks: u64,
    /// When events counted, if there were gaps.
    slices: Option<Slices>,
}

impl Heap {
    /// Nothing is probed yet. `sample`: mean bytes between samples, 0 for every block.
    pub fn of(pid: NonZeroU32, hints: Hints, unstripped: Option<Unstripped>, sample: u64) -> Self {
        Self {
            pid,
            hints: Hints {
                emulation: check::emulation(),
                ..hints
            },
            unstripped,
            allocators: BTreeSet::new(),
            functions: 0,
            warnings: Vec::new(),
            stripped_static: false,
            throwing: false,
            caught: BTreeSet::new(),
            sampling: (sample > 0).then(|| sampling(sample)),
            blocks: 0,
            slices: None,
        }
    }

    /// Probes the function by which C++ code says that an exception has reached its handler: calls
    /// that the exception has left will not return.
    fn attach_caught(&mut self, bpf: &mut Bpf, modules: &Modules) -> anyhow::Result<()> {
        for (index, module) in modules.all().iter().enumerate() {
            if !self.caught.insert(index) {
                continue;
            }
            if let (Some(offset), Some(path)) = (
                module.function_offset("__cxa_begin_catch"),
                module.open_path(),
            ) {
                bpf.attach(Probe::caught(offset), &path, self.pid)?;
            }
        }
        Ok(())
    }

    /// Returns whether the module has an allocator.
    fn attach_module(&mut self, bpf: &mut Bpf, module: &Module) -> anyhow::Result<bool> {
        if let Some(reason) = &module.unreadable {
            self.warnings.push(Warning::UnreadableModule {
                module: module.path.clone(),
                reason: reason.clone(),
            });
        }
        let (Some(bytes), Some(path)) = (module.bytes()?, module.open_path()) else {
            return Ok(false);
        };
        let elf = match &self.unstripped {
            Some(unstripped) => unstripped.instead_of(&module.path, &bytes)?,
            None => &bytes,
        };
        let plan = match allocator::plan(elf, &self.hints) {
            Ok(plan) => plan,
            Err(error) => {
                self.warnings.push(Warning::UnreadableModule {
                    module: module.path.clone(),
                    reason: error.to_string(),
                });
                return Ok(false);
            }
        };
        let Plan {
            functions,
            refused,
            stripped_static,
        } = plan;
        self.stripped_static |= stripped_static;
        for refused in refused {
            self.warnings.push(Warning::Unprobed {
                symbol: refused.symbol,
                module: module.path.clone(),
                reason: refused.reason,
            });
        }
        // A return instruction can belong to several functions (shared tails): one probe each.
        let mut probes = BTreeSet::new();
        for function in &functions {
            match Probe::of(function) {
                Some(needed) => probes.extend(needed),
                None => self.warnings.push(Warning::Unprobed {
                    symbol: function.symbol.clone(),
                    module: module.path.clone(),
                    reason: "exceptions may leave it, and its arguments are unusual".into(),
                }),
            }
        }
        self.throwing |= functions
            .iter()
            .any(|function| matches!(function.returns, Returns::Instructions(_)));
        for probe in probes {
            bpf.attach_pausable(probe, &path, self.pid)?;
        }
        if functions.is_empty() {
            return Ok(false);
        }
        self.functions += functions.len();
        self.allocators.insert(module.path.clone());
        Ok(true)
    }
}

impl Source for Heap {
    fn view(&self) -> View {
        View::Heap
    }

    fn prepare(&mut self, bpf: &mut Bpf, unwind: Unwind) -> anyhow::Result<()> {
        if let Some(sampling) = &self.sampling {
            bpf.set_sampling(sampling)?;
        }
        Ok(bpf.set_walk(Walkers::HEAP, unwind)?)
    }

    fn attach(
        &mut self,
        bpf: &mut Bpf,
        modules: &Modules,
        index: usize,
        late: bool,
    ) -> anyhow::Result<()> {
        let module = modules.get(index);
        match self.attach_module(bpf, module) {
            Ok(true) if late => self.warnings.push(Warning::LateModule {
                module: module.path.clone(),
            }),
            Ok(_) => {}
            // The others are still to be probed, and the recording goes on.
            Err(error) if late => self.warnings.push(Warning::Unprobed {
                symbol: "the allocator".into(),
                module: module.path.clone(),
                reason: format!("{error:#}"),
            }),
            Err(error) => {
                return Err(error.context(format!("probing {}", module.path)));
            }
        }
        if self.throwing {
            self.attach_caught(bpf, modules)?;
        }
        Ok(())
    }

    fn require(&self, process: &Process) -> anyhow::Result<()> {
        if !self.allocators.is_empty() {
            return Ok(());
        }
        let why = if self.stripped_static {
            "its executable is statically linked and stripped of symbols, so the functions of its \
             allocator cannot be found"
        } else {
            "no module of it defines malloc or another allocator's functions"
        };
        bail!(
            "no allocator found in process {} ({}): {why}. `unfreed pages` works without one; or \
             name the allocator with --allocator PATH or --allocator PREFIX",
            process.pid,
            process.exe
        );
    }

    fn describe(&self) -> String {
        let allocators = self.allocators.iter().cloned().collect::<Vec<_>>();
        format!("{} functions of {}", self.functions, allocators.join(", "))
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn tick(&mut self) {}

    fn end(&mut self, _here: bool) {}

    fn observed(&mut self, slices: &Slices) {
        self.slices = Some(slices.clone()).filter(|slices| !slices.is_whole());
    }

    fn outcome(&mut self, bpf: &Bpf, latest: u64) -> anyhow::Result<Outcome> {
        let (before, telling) = self
            .slices
            .as_ref()
            .map_or((u64::MAX, 1.0), Slices::telling);
        let mut unfreed = Unfreed::default();
        let sampling = self.sampling.as_deref();
        let mut blocks = 0;
        let mut add = |block: &Block| {
            if block.time <= latest && block.time < before {
                let exactly = Weight {
                    bytes: block.size,
                    count: 1,
                };
                *unfreed.entry((block.stack, None)).or_default() +=
                    sampling.map_or(exactly, |sampling| weight(sampling, block.size));
                blocks += 1;
            }
        };
        bpf.live_blocks(&mut add)?;
        for pending in bpf.pending_blocks()? {
            add(&pending.0);
        }
        self.blocks = blocks;
        for sum in unfreed.values_mut() {
            if sampling.is_some() {
                *sum = whole(*sum);
            }
            *sum = sum.of_share(telling);
        }
        Ok(Outcome {
            unfreed,
            still_there: None,
            share: self.slices.as_ref().map_or(1.0, Slices::share),
        })
    }

    fn sampled(&self) -> Option<Sampled> {
        self.sampling.as_ref().map(|sampling| Sampled {
            mean_bytes: sampling.mean,
            samples: self.blocks,
        })
    }

    fn reconciliation(&self) -> Option<Reconciliation> {
        None
    }

    fn warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}
