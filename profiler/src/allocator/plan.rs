//! The plan for one file, put together.

use std::collections::HashMap;

use super::candidates::{self, Candidate, Group};
use super::forward::{Verdict, verdict};
use super::image::{Image, Machine};
use super::names::{self, Kind};
use super::returns::returns;
use super::sites::cheapest;
use super::{Function, Hints, Plan, PlanError, Refused, Returns, Shape, Site};
use crate::site::{Edge, Limits, Lost, Place, explore};

/// Instructions that may be read in one file.
const BUDGET: usize = 1 << 19;
/// Instructions that may be read in one function, with the functions it ends in.
const FUNCTION_BUDGET: usize = 1 << 14;
/// Instructions read to find out whether a prefix is only a wrapper's: those around allocators
/// are short, allocators are not.
const WRAPPER_BUDGET: usize = 1 << 11;

/// What to probe in the module with these bytes. Bytes may be anything: what is damaged is an
/// error or is missing from the plan, and the work is bounded by the size of the file.
pub fn plan(elf: &[u8], hints: &Hints) -> Result<Plan, PlanError> {
    let image = Image::parse(elf)?;
    let candidates = candidates::collect(&image, hints)?;
    if candidates.is_empty() {
        return Ok(Plan {
            stripped_static: image.is_stripped_static(),
            ..Plan::default()
        });
    }
    let mut planner = Planner {
        image: &image,
        budget: BUDGET,
    };
    let candidates = planner.without_wrappers(candidates);
    let shapes: HashMap<u64, Shape> = candidates
        .iter()
        .map(|it| (it.address, it.known.shape))
        .collect();
    let allocates = candidates
        .iter()
        .any(|it| it.known.kind != Kind::Cpp && it.known.shape != Shape::Free);
    let mut plan = Plan::default();
    for group in candidates::group(&image, &candidates) {
        let Some(entry) = image.offset(group.address) else {
            continue;
        };
        let found = match image.machine {
            Machine::X86_64 => planner.returns(&group, &shapes),
            Machine::Aarch64 => without_code(&group, allocates),
        };
        let Group {
            name: symbol,
            known: names::Known { shape, .. },
            address,
            ..
        } = group;
        match found {
            Some(Ok(returns)) => {
                let cheapest = planner.spend(FUNCTION_BUDGET, |image, budget| {
                    cheapest(image, address, shape, &returns, hints.emulation, budget)
                });
                let site = cheapest.filter(|_| !hints.at_entry).unwrap_or(Site {
                    offset: entry,
                    single_stepped: true,
                    shift: 0,
                });
                plan.functions.push(Function {
                    symbol,
                    shape,
                    entry,
                    site,
                    returns,
                });
            }
            Some(Err(reason)) => plan.refused.push(Refused { symbol, reason }),
            None => {}
        }
    }
    Ok(plan)
}

/// `None`: not to be probed.
fn without_code(group: &Group, allocates: bool) -> Option<Result<Returns, String>> {
    if group.known.kind == Kind::Cpp && !allocates {
        return None;
    }
    Some(match group.known {
        known if known.shape == Shape::Free => Ok(Returns::Ignored),
        known if known.throws => {
            Err("an exception may leave it, and returns are not found on aarch64 yet".to_owned())
        }
        _ => Ok(Returns::Trampoline),
    })
}

struct Planner<'a> {
    image: &'a Image<'a>,
    budget: usize,
}

impl Planner<'_> {
    fn spend<T>(&mut self, most: usize, work: impl FnOnce(&Image<'_>, &mut usize) -> T) -> T {
        let given = most.min(self.budget);
        let mut left = given;
        let result = work(self.image, &mut left);
        self.budget -= given - left;
        result
    }

    /// `None`: not to be probed, because it passes on to a function that is.
    fn returns(
        &mut self,
        group: &Group,
        shapes: &HashMap<u64, Shape>,
    ) -> Option<Result<Returns, String>> {
        let Group { address, known, .. } = *group;
        let lookup = |place: &Place| match place {
            Place::Here(address) => shapes.get(address).copied(),
            Place::Elsewhere(name) => names::known(name).map(|it| it.shape),
        };
        let forwards = if known.kind <= Kind::Asked {
            Verdict::Never
        } else {
            self.spend(FUNCTION_BUDGET, |image, budget| {
                verdict(image, address, known.shape, &lookup, budget)
            })
            .unwrap_or(Verdict::Never)
        };
        if forwards == Verdict::Forwards {
            return None;
        }
        if known.shape == Shape::Free {
            return Some(Ok(Returns::Ignored));
        }
        if !known.throws {
            return Some(Ok(Returns::Trampoline));
        }
        match self.spend(FUNCTION_BUDGET, |image, budget| {
            returns(image, address, budget)
        }) {
            Ok(found) => Some(Ok(Returns::Instructions(found))),
            Err(reason) => Some(Err(reason)),
        }
    }

    /// Drops the names of every guessed prefix whose functions only wrap another allocator, such as
    /// redis's `zmalloc`: wrappers are what a program wrote for itself, with arguments that need
    /// not be the C library's, and what they wrap is probed.
    fn without_wrappers(&mut self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let guessed = |it: &Candidate| it.known.kind == Kind::Guessed;
        if !candidates.iter().any(guessed) || self.image.machine != Machine::X86_64 {
            return candidates;
        }
        let others: HashMap<u64, Shape> = candidates
            .iter()
            .filter(|it| !guessed(it))
            .map(|it| (it.address, it.known.shape))
            .collect();
        let mut verdicts: HashMap<String, bool> = HashMap::new();
        for candidate in candidates.iter().filter(|it| guessed(it)) {
            if let Some(prefix) = candidate.name.strip_suffix(names::API[0].0) {
                // An alias of what is known anyway is no wrapper and needs no belief.
                let wraps = !others.contains_key(&candidate.address)
                    && self.spend(WRAPPER_BUDGET, |image, budget| {
                        wraps(image, candidate.address, &others, budget)
                    });
                verdicts.insert(prefix.to_owned(), wraps);
            }
        }
        let wrapper = |name: &str| {
            names::API.iter().any(|(api, _)| {
                name.strip_suffix(api)
                    .is_some_and(|prefix| verdicts.get(prefix) == Some(&true))
            })
        };
        candidates
            .into_iter()
            .filter(|it| !guessed(it) || !wrapper(&it.name))
            .collect()
    }
}

/// Whether a function gets its blocks from another known allocator, or by a pointer in its first
/// few instructions, as wrappers with replaceable functions do.
fn wraps(image: &Image<'_>, entry: u64, others: &HashMap<u64, Shape>, budget: &mut usize) -> bool {
    let known = |place: &Place| match place {
        Place::Here(address) => others.contains_key(address),
        Place::Elsewhere(name) => names::known(name).is_some(),
    };
    let mut seen = std::collections::HashSet::from([entry]);
    let mut todo = std::collections::VecDeque::from([entry]);
    while let Some(address) = todo.pop_front() {
        let follow = |to: u64| !known(&Place::Here(to));
        let graph = match explore(
            image,
            address,
            &mut Limits {
                follow: &follow,
                handlers: false,
                budget,
            },
        ) {
            Ok(graph) => graph,
            Err(Lost::TooLong) => return false,
            Err(_) => continue,
        };
        for step in graph.values() {
            let mut places = Vec::new();
            if let crate::site::Kind::Call(place) = &step.kind {
                places.push(place.as_ref());
            }
            places.extend(step.edges.iter().filter_map(|edge| match edge {
                Edge::To(_) => None,
                Edge::Out(place) => Some(Some(place)),
                Edge::Unknown => Some(None),
            }));
            for place in places {
                match place {
                    Some(place) if known(place) => return true,
                    Some(Place::Here(to)) if seen.insert(*to) => todo.push_back(*to),
                    None if address == entry => return true,
                    _ => {}
                }
            }
        }
    }
    false
}
