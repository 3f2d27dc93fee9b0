//! The end of a recording, and what it came to.

use std::time::Duration;

use unfreed_common::config::ended;

use super::super::{Detaching, Recorded};
use super::Recording;
use crate::bpf::Bpf;
use crate::check;
use crate::collect::{self, RawProfile};
use crate::profile::{Bounds, End, ProcessMemory, Slices, Unwinding};
use crate::symbolize::symbolize;
use crate::target::{self, MemoryReading};
use crate::warning::Warning;

impl Recording<'_> {
    /// Ends it.
    pub fn finish(mut self, end: End) -> anyhow::Result<Recorded> {
        let pid = self.target.pid.get();
        self.bpf.set_recording(pid, self.settings.unwind, false)?;
        let duration = self.begin.elapsed();
        let slices = self.gaps.take().map(|gaps| gaps.end(&self.bpf));
        if let Some(slices) = &slices {
            self.source.observed(slices);
        }
        let here = MemoryReading::of(pid).filter(|reading| reading.rss > 0);
        let here = here.filter(|_| {
            !self
                .bpf
                .ended()
                .is_ok_and(|ended| ended.reason != ended::NO)
        });
        if let Some(reading) = here {
            self.after = reading;
        }
        self.source.end(here.is_some());
        self.bpf.settle()?;
        self.drain();
        if !self.unlocated.is_empty() {
            // Fails when the process has ended: then these frames stay addresses.
            let _ended = self.read_mappings(true);
        }
        self.watcher.over();
        self.result(end, duration, slices)
    }

    /// Nothing changes any more.
    fn result(
        self,
        end: End,
        duration: Duration,
        slices: Option<Slices>,
    ) -> anyhow::Result<Recorded> {
        let Self {
            settings,
            bpf,
            target,
            mappings,
            mut source,
            stacks,
            before,
            after,
            started_at,
            ..
        } = self;
        let end_time = match bpf.ended()? {
            ended if ended.reason != ended::NO => ended.time,
            _ => target::monotonic_now(),
        };
        let estimated = slices.as_ref().filter(|slices| !slices.is_whole());
        // Estimates are of blocks of any age.
        let min_age = estimated.map_or(settings.min_age, |_| Duration::ZERO);
        let young = u64::try_from(min_age.as_nanos()).unwrap_or(u64::MAX);
        let outcome = source.outcome(&bpf, end_time.saturating_sub(young))?;
        let counted = collect::count(&bpf, stacks, settings.unwind, settings.mode, outcome)?;
        let gaps = estimated.map(|slices| Warning::Gaps {
            slices: slices.slices.len(),
            percent: slices.error_percent(),
            bounds: Bounds::of(slices, counted.totals.unfreed.count),
        });
        let raw = RawProfile {
            view: source.view(),
            mode: settings.mode,
            process: target.process,
            started_at: started_at.to_string(),
            duration,
            min_age,
            end,
            totals: counted.totals,
            sampled: source.sampled(),
            memory: ProcessMemory {
                rss_before: before.rss,
                rss_after: after.rss,
                vsz_before: before.vsz,
                vsz_after: after.vsz,
            },
            reconciliation: source.reconciliation(),
            unwinding: Unwinding {
                table_rows: mappings.table_rows(),
                ..counted.unwinding
            },
            warnings: gaps
                .into_iter()
                .chain(lost(&bpf)?)
                .chain(check::traps().into_iter().map(Warning::Kernel))
                .chain(source.warnings())
                .chain(mappings.warnings())
                .collect(),
            losses: bpf.losses_by_name()?,
            notes: bpf.notes()?,
            slices,
            modules: Vec::new(),
            stacks: counted.stacks,
        };
        let detaching = Detaching::begin(bpf, settings.footprint.removals);
        Ok(Recorded {
            profile: symbolize(raw, &mappings.into_modules()),
            detaching,
        })
    }
}

/// What was lost, and what to do about it.
fn lost(bpf: &Bpf) -> anyhow::Result<Vec<Warning>> {
    let losses = bpf.losses()?.into_iter().filter(|(_, count)| *count > 0);
    Ok(losses
        .map(|(loss, count)| Warning::Lost {
            reason: loss.name(),
            count,
            advice: loss.advice(),
        })
        .collect())
}
