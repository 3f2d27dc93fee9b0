//! Takes the probes away, and sees meanwhile what the target does with ever fewer of them.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::time::ClockId;
use unfreed_common::config::Traps;

use super::gaps::now;
use super::own::Phase;
use super::trap::Cost;
use crate::bpf::{self, Kind, Link, TrapCounts};

/// How long the target is watched with each set of probes.
const PHASE: Duration = Duration::from_millis(6);

/// The same when only those are left that are hardly ever hit: it costs nothing, and each call that they tell of stands for many.
const LAST_PHASE: Duration = Duration::from_millis(30);

/// Of fewer nothing can be said.
const LEAST_CALLS: u64 = 25;

/// How long the kernel takes to remove a breakpoint, where it does that at once.
const GONE: Duration = Duration::from_millis(1);

/// Probes with less than this share of all calls cost next to nothing.
const LEAST_SHARE: f64 = 0.05;

/// Those with less than this share do not tell of the others.
const LEAST_TELLING: f64 = 1e-4;

/// Probes on their way out.
pub struct Removal(JoinHandle<Vec<Phase>>);

/// What the target is seen by meanwhile.
pub struct Seen {
    /// The programs' counters.
    pub counts: Arc<TrapCounts>,
    /// What they counted while events counted.
    pub recorded: Traps,
    /// What probes cost.
    pub cost: Cost,
    /// The target's CPU time.
    pub cpu: ClockId,
    /// How often this was done before.
    pub turn: usize,
}

impl Removal {
    /// Begins it. `links`: those that are hit most first. `seen`: if it is to be slow enough to see something.
    pub fn begin(links: Vec<Link>, seen: Option<Seen>) -> Self {
        Self(std::thread::spawn(move || {
            let Some(seen) = seen else {
                remove(links);
                return Vec::new();
            };
            let mut set = Set::of(links, &seen);
            let mut going = Vec::new();
            let mut phases = Vec::new();
            loop {
                // Fails when the target has ended.
                phases.extend(set.watch(&seen).unwrap_or_default());
                let Some(link) = set.next_hot() else {
                    break;
                };
                if link.goes_at_once() {
                    going.push(std::thread::spawn(|| drop(link)));
                    std::thread::sleep(GONE);
                }
            }
            remove(set.links.into_iter().rev().map(|it| it.link).collect());
            for link in going {
                // It cannot panic.
                let _gone = link.join();
            }
            phases
        }))
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end. What was seen meanwhile.
    pub fn end(self) -> Vec<Phase> {
        // It cannot panic.
        self.0.join().unwrap_or_default()
    }
}

/// The probes that are left.
struct Set {
    /// Those that are hit most last.
    links: Vec<Placed>,
    /// Each place's share of all calls.
    shares: Vec<f64>,
    /// Places where a probe is gone: what is counted there may be another's.
    gone: BTreeSet<usize>,
}

struct Placed {
    link: Link,
    /// Which share of all calls hit it.
    share: f64,
    /// What that costs on ourselves.
    cost: f64,
}

impl Set {
    fn of(links: Vec<Link>, seen: &Seen) -> Self {
        let recorded = &seen.recorded;
        let all = recorded.sites.iter().sum::<u64>().max(1) as f64;
        let shares: Vec<f64> = recorded.sites.map(|calls| calls as f64 / all).into();
        let mut links: Vec<Placed> = links
            .into_iter()
            .map(|link| Placed {
                share: shares[link.place],
                cost: seen.cost.of_one(link.kind),
                link,
            })
            .collect();
        // A return costs a trap of its own, besides that of the entry, which goes on telling of the calls.
        links.sort_by_key(|it| {
            let hot = it.share >= LEAST_SHARE;
            let share = (it.share * 1e6) as u64;
            Reverse((hot, it.link.kind == Kind::Return, share))
        });
        // Not always the same entry is the last that tells.
        let hot = links.partition_point(|it| it.share >= LEAST_SHARE);
        let returns = links[..hot].partition_point(|it| it.link.kind == Kind::Return);
        let entries = &mut links[returns..hot];
        if !entries.is_empty() {
            entries.rotate_left(seen.turn % entries.len());
        }
        links.reverse();
        Self {
            links,
            shares,
            gone: BTreeSet::new(),
        }
    }

    /// Takes the next one that matters.
    fn next_hot(&mut self) -> Option<Link> {
        let next = self.links.pop_if(|next| next.share >= LEAST_SHARE)?;
        if next.link.kind != Kind::Return {
            self.gone.insert(next.link.place);
        }
        Some(next.link)
    }

    /// `None`: the probes that are left do not tell how much the target does, or it does nothing.
    fn watch(&self, seen: &Seen) -> anyhow::Result<Option<Phase>> {
        let telling = self.links.iter().map(|it| &it.link);
        let telling = telling.filter(|link| link.kind != Kind::Return);
        let places: BTreeSet<usize> = telling.map(|link| link.place).collect();
        let places: Vec<usize> = places.difference(&self.gone).copied().collect();
        let share: f64 = places.iter().map(|&place| self.shares[place]).sum();
        let recorded: u64 = places.iter().map(|&it| seen.recorded.sites[it]).sum();
        if share < LEAST_TELLING || recorded < LEAST_CALLS {
            return Ok(None);
        }
        let hot = self.links.iter().filter(|it| it.share >= LEAST_SHARE);
        let probes: Vec<_> = hot
            .map(|it| ((it.link.place, it.link.kind), it.share, it.cost))
            .collect();
        let read = || -> anyhow::Result<(u64, u64)> {
            let cpu = after_tick(seen.cpu)?;
            let Traps { sites, .. } = seen.counts.read()?;
            let calls = places.iter().map(|&place| sites[place]).sum();
            Ok((calls, cpu))
        };
        let before = read()?;
        std::thread::sleep(if probes.is_empty() { LAST_PHASE } else { PHASE });
        let after = read()?;
        let (calls, cpu) = (after.0 - before.0, after.1.saturating_sub(before.1));
        Ok((calls >= LEAST_CALLS && cpu > 0).then(|| Phase {
            time: cpu as f64 * share / calls as f64,
            // Both are counts of what happens now and then.
            error: (1.0 / calls as f64 + 1.0 / recorded as f64).sqrt(),
            probes,
        }))
    }
}

/// A process's CPU time: of one that runs on another processor the kernel knows it from the last tick of that one's
/// clock (kernel/sched/cputime.c, `thread_group_cputime`), so this waits for the next one.
fn after_tick(cpu: ClockId) -> nix::Result<u64> {
    const POLL: Duration = Duration::from_micros(100);
    /// More than a tick takes at 100 Hz, all in all.
    const POLLS: u32 = 100;
    let before = now(cpu)?;
    for _ in 0..POLLS {
        std::thread::sleep(POLL);
        let after = now(cpu)?;
        if after != before {
            return Ok(after);
        }
    }
    Ok(before)
}

/// One after the other, where each has to wait for the others anyway: those that are hit most go first then.
fn remove(links: Vec<Link>) {
    let at_a_time = if links.iter().all(Link::goes_at_once) {
        links.len()
    } else {
        1
    };
    bpf::remove(links, at_a_time.max(1));
}
