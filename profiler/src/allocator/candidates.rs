//! From symbols to functions that might be probed: names looked up, prefixes recognized, aliases
//! and forwarding stubs gathered under one entry.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::image::Image;
use super::names::{self, API, Kind, Known};
use super::symbols::Defined;
use super::{Hints, PlanError};
use crate::site::{self, Place};

/// More functions of interest than any real file has; a file with more is not believed.
const MAX_NAMES: usize = 1 << 12;

/// How many stubs may follow one another.
const MAX_HOPS: usize = 8;

/// A name that the file defines and what it says.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// As in the symbol table.
    pub name: String,
    /// What the name says.
    pub known: Known,
    /// Virtual address.
    pub address: u64,
}

/// Every name of interest, by address and name.
pub fn collect(image: &Image<'_>, hints: &Hints) -> Result<Vec<Candidate>, PlanError> {
    let mut found = BTreeMap::new();
    let mut prefixed: HashMap<&[u8], Vec<(usize, Defined<'_>)>> = HashMap::new();
    let asked = hints.prefix.as_deref().map(str::as_bytes);
    let longest = *names::LONGEST;
    for function in image.symbols.functions() {
        let name = function.name;
        if name.len() <= longest
            && let Ok(name) = str::from_utf8(name)
            && let Some(known) = names::known(name)
        {
            put(&mut found, &function, known)?;
        }
        // `*malloc` .. `*sdallocx`: the last letters of the table's names.
        if !matches!(
            name.last(),
            Some(b'c' | b'd' | b'e' | b'f' | b'n' | b'x' | b'y')
        ) {
            continue;
        }
        for (index, (api, _)) in API.iter().enumerate() {
            match name.strip_suffix(api.as_bytes()) {
                Some(prefix) if !prefix.is_empty() => {
                    prefixed.entry(prefix).or_default().push((index, function));
                }
                _ => {}
            }
        }
    }
    for (prefix, functions) in prefixed {
        let kind = if asked == Some(prefix) {
            Kind::Asked
        } else {
            Kind::Guessed
        };
        let defined: HashSet<usize> = functions.iter().map(|(index, _)| *index).collect();
        let believed = (0..names::USUAL).all(|usual| defined.contains(&usual))
            && !names::NOT_PREFIXES
                .iter()
                .any(|not| not.as_bytes() == prefix);
        if kind == Kind::Asked || believed {
            for (index, function) in &functions {
                let known = Known {
                    shape: API[*index].1,
                    kind,
                    throws: false,
                };
                put(&mut found, function, known)?;
            }
        }
    }
    Ok(found.into_values().collect())
}

fn put(
    found: &mut BTreeMap<(u64, String), Candidate>,
    function: &Defined<'_>,
    known: Known,
) -> Result<(), PlanError> {
    let name = String::from_utf8_lossy(function.name).into_owned();
    let address = function.address;
    let candidate = Candidate {
        name: name.clone(),
        known,
        address,
    };
    let kept = found.entry((address, name)).or_insert(candidate);
    if known.kind < kept.known.kind {
        kept.known = known;
    }
    if found.len() > MAX_NAMES {
        Err(PlanError::TooMany)
    } else {
        Ok(())
    }
}

/// All names of one function.
#[derive(Debug, Clone)]
pub struct Group {
    /// Where its code begins: the address of a name, or what that name is only a stub for.
    pub address: u64,
    /// The name to show and what is known of the function.
    pub name: String,
    /// What is known: an exception may pass only if all names allow it, for a C function that
    /// shares the code is called from C; the kind is the most public one.
    pub known: Known,
}

/// Candidates by the code they lead to. A name that is only a stub for another candidate of the
/// same shape joins it; one that is a stub for a known function of another file is left out,
/// unless it is the C library's: the other file's own plan has that function.
pub fn group(image: &Image<'_>, candidates: &[Candidate]) -> Vec<Group> {
    let mut shapes: HashMap<u64, Vec<&Candidate>> = HashMap::new();
    for candidate in candidates {
        shapes.entry(candidate.address).or_default().push(candidate);
    }
    let mut groups: BTreeMap<(u64, super::Shape), Group> = BTreeMap::new();
    for candidate in candidates {
        let Some(address) = home(image, candidate, &shapes) else {
            continue;
        };
        let Candidate { name, known, .. } = candidate;
        let group = groups
            .entry((address, known.shape))
            .or_insert_with(|| Group {
                address,
                name: name.clone(),
                known: *known,
            });
        group.known.throws &= known.throws;
        if rank(known.kind, name) < rank(group.known.kind, &group.name) {
            group.known.kind = known.kind;
            group.name.clone_from(name);
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    // One entry has one program: of two shapes at one address the more public name is right.
    groups.sort_by(|a, b| {
        let names = || rank(a.known.kind, &a.name).cmp(&rank(b.known.kind, &b.name));
        a.address.cmp(&b.address).then_with(names)
    });
    groups.dedup_by_key(|group| group.address);
    groups
}

/// Which of several names to show: the most public kind, then the table's order, then `new` before
/// `new[]`, then the shortest.
fn rank(kind: Kind, name: &str) -> (Kind, usize, bool, usize, &str) {
    let order = API
        .iter()
        .position(|(api, _)| *api == name)
        .unwrap_or(API.len());
    let array = name.starts_with("_Zna") || name.starts_with("_Zda");
    (kind, order, array, name.len(), name)
}

/// Where the candidate's code really is. `None`: in another file.
fn home(
    image: &Image<'_>,
    candidate: &Candidate,
    shapes: &HashMap<u64, Vec<&Candidate>>,
) -> Option<u64> {
    if image.machine != super::image::Machine::X86_64 {
        return Some(candidate.address);
    }
    let mut home = candidate.address;
    let mut at = candidate.address;
    for _ in 0..MAX_HOPS {
        match site::forwards_to(image, at) {
            Some(Place::Here(next)) => at = next,
            Some(Place::Elsewhere(name)) => {
                let same = names::known(&name).is_some_and(|it| it.shape == candidate.known.shape);
                let public = candidate.known.kind <= Kind::Asked;
                return (public || !same).then_some(home);
            }
            None => break,
        }
        let joins = |other: &&Candidate| other.known.shape == candidate.known.shape;
        if shapes
            .get(&at)
            .is_some_and(|others| others.iter().any(joins))
        {
            home = at;
        }
    }
    Some(home)
}
