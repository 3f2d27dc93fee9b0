//! gdb's stacks against those of a recording.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use unfreed_tests::gdb::{OUTERMOST, Place, Stop};

/// `JUDGE_SIZE`: the nth stop's block has n bytes more.
const SIZE: u64 = 1_000_000;

/// What every recorded stack begins with: the allocator, the stop's own call of it, and the signal's
/// handler. Behind them is the address that the handler returns to, then what it interrupted.
const BEGINNING: [&str; 3] = ["judge_malloc", "judge_sites", "on_stop"];

/// Where return probes make a function return to: there gdb loses its way.
const PROBED_RETURN: &str = "[uprobes]";

/// What became of the stops of one program.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Stops at which both saw the whole stack.
    pub compared: usize,
    /// Stops in a function with a pending return probe. Up to its return address the stacks were
    /// compared; from there on only what stands at the end.
    pub behind_probe: usize,
    /// Stops in the few instructions to which a return probe makes a function return, from which
    /// neither finds a way.
    pub in_probe: usize,
    /// Stops at which both saw the same frames, and neither the outermost one: in the last instructions of
    /// `_Unwind_Resume`, where the stack pointer is another frame's already, libgcc's own table is wrong.
    pub same_and_cut: usize,
    /// How many different instructions were interrupted.
    pub instructions: usize,
    /// Of which many stacks were walked, by how many frames.
    pub depths: BTreeMap<usize, usize>,
    /// Every stop at which they do not agree.
    pub differences: Vec<Difference>,
}

/// Two stacks of one stop.
#[derive(Debug)]
pub struct Difference {
    stop: Stop,
    recorded: Vec<Place>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stop, recorded } = self;
        writeln!(
            f,
            "stop {} at `{}`; gdb's stack ends with {:?}",
            stop.stop, stop.instruction, stop.end
        )?;
        let none = || "-".to_owned();
        let depth = stop.frames.len().max(recorded.len());
        for index in 0..depth {
            let (gdb, ours) = (stop.frames.get(index), recorded.get(index));
            let same = gdb.zip(ours).is_some_and(|(gdb, ours)| is_same(gdb, ours));
            writeln!(
                f,
                "  {} {:<60} {}",
                if same { ' ' } else { '!' },
                gdb.map_or_else(none, describe),
                ours.map_or_else(none, describe)
            )?;
        }
        Ok(())
    }
}

fn describe(place: &Place) -> String {
    let name = place.name.as_deref().unwrap_or("?");
    let module = place.module.rsplit('/').next().unwrap_or_default();
    format!("{module}+{:#x} {name:.30}", place.address)
}

fn is_same(one: &Place, other: &Place) -> bool {
    (&one.module, one.address) == (&other.module, other.address)
}

/// Compares every stop's two stacks.
pub fn judge(stops: &[Stop], result: &Value) -> Result<Verdict> {
    let mut recorded = recorded(result)?;
    let mut verdict = Verdict::default();
    let key = |place: &Place| (place.module.clone(), place.address);
    let is_whole = |stop: &&Stop| stop.end == OUTERMOST && probed_return(stop).is_none();
    let outermost: BTreeSet<_> = stops
        .iter()
        .filter(is_whole)
        .filter_map(|stop| stop.frames.last().map(key))
        .collect();
    for stop in stops {
        let ours = recorded
            .remove(&stop.stop)
            .with_context(|| format!("nothing was recorded at stop {}", stop.stop))?;
        let same = |gdb: &[Place], ours: &[Place]| {
            gdb.len() == ours.len() && gdb.iter().zip(ours).all(|(a, b)| is_same(a, b))
        };
        let agree = match probed_return(stop) {
            Some(0) if ours.is_empty() => true,
            Some(depth) => {
                let ends = ours.last().is_some_and(|it| outermost.contains(&key(it)));
                ours.len() > depth && ends && same(&stop.frames[..depth], &ours[..depth])
            }
            None => same(&stop.frames, &ours),
        };
        if !agree {
            verdict.differences.push(Difference {
                stop: stop.clone(),
                recorded: ours,
            });
        } else if ours.is_empty() {
            verdict.in_probe += 1;
        } else if probed_return(stop).is_some() {
            verdict.behind_probe += 1;
        } else if stop.end != OUTERMOST {
            verdict.same_and_cut += 1;
        } else {
            verdict.compared += 1;
            *verdict.depths.entry(ours.len()).or_default() += 1;
        }
    }
    let interrupted: BTreeSet<_> = stops.iter().filter_map(|it| it.frames.first()).collect();
    verdict.instructions = interrupted.len();
    ensure!(recorded.is_empty(), "stacks of no stop: {recorded:?}");
    Ok(verdict)
}

/// Which of gdb's frames is a probe's and not the program's.
fn probed_return(stop: &Stop) -> Option<usize> {
    let is_probe = |place: &Place| place.module == PROBED_RETURN;
    stop.frames.iter().position(is_probe)
}

/// What each stop interrupted, by its number.
fn recorded(result: &Value) -> Result<BTreeMap<i32, Vec<Place>>> {
    let mut found = BTreeMap::new();
    for stack in result["stacks"].as_array().context("no stacks")? {
        let frames = places(stack)?;
        let names: Vec<_> = frames.iter().map(|it| it.name.as_deref()).collect();
        if names.first() != Some(&Some(BEGINNING[0])) {
            continue;
        }
        let (bytes, count) = (stack["bytes"].as_u64(), stack["count"].as_u64());
        let stop = bytes.and_then(|bytes| bytes.checked_sub(SIZE));
        let stop = stop.and_then(|stop| i32::try_from(stop).ok());
        let (Some(stop), Some(1)) = (stop, count) else {
            anyhow::bail!("{count:?} blocks of {bytes:?} bytes together");
        };
        // One with another beginning is compared as it is, and then seen to be different.
        let begins = names.starts_with(&BEGINNING.map(Some)) && names.len() > BEGINNING.len();
        let skipped = if begins { BEGINNING.len() + 1 } else { 0 };
        let twice = found.insert(stop, frames[skipped..].to_vec());
        ensure!(twice.is_none(), "stop {stop} was recorded twice");
    }
    Ok(found)
}

/// A stack's frames, without those of inlined functions.
fn places(stack: &Value) -> Result<Vec<Place>> {
    let frames = stack["frames"].as_array().context("no frames")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    frames
        .iter()
        .filter(|frame| frame["inlined"] != true)
        .map(|frame| {
            Ok(Place {
                module: text(&frame["module"]).unwrap_or_default(),
                address: frame["offset"].as_u64().context("no address")?,
                name: text(&frame["function"]),
            })
        })
        .collect()
}
