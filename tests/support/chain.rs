//! Chains of callers: what a program kept itself (`programs/chain_shadow.h`) against the stacks of
//! a recording.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::ledger::{Ledger, Weight};

/// Functions' names, from the innermost outwards.
pub type Names = Vec<String>;

/// The chains that a program wrote, with what is outstanding of each.
#[derive(Debug, Clone)]
pub struct Chains {
    /// Each chain once.
    pub expected: BTreeMap<Names, Expected>,
    /// What else the program says, by name.
    pub notes: BTreeMap<String, i64>,
}

/// One chain of a program.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Not given back.
    pub outstanding: Weight,
    /// The marks before the names, one for each; a blank where there is none.
    pub marks: Vec<char>,
}

/// A recording, as far as it is about how stacks were walked.
#[derive(Debug, Clone, Deserialize)]
pub struct Walked {
    /// Over all stacks.
    pub unwinding: Unwinding,
    /// Every stack.
    pub stacks: Vec<Stack>,
}

/// How the stacks were walked, in allocations.
#[derive(Debug, Clone, Deserialize)]
pub struct Unwinding {
    /// All of them.
    pub walked: u64,
    /// Of those, up to the outermost function.
    pub complete: u64,
    /// Of those, with at least one frame found by a frame pointer for want of anything better.
    pub approximate: u64,
    /// Of those, not to the end, by reason.
    #[serde(default)]
    pub cut: BTreeMap<String, u64>,
    /// Rows of unwind tables in use at the end.
    pub table_rows: u64,
}

/// One stack and its weight.
#[derive(Debug, Clone, Deserialize)]
pub struct Stack {
    /// Requested bytes.
    pub bytes: u64,
    /// Blocks.
    pub count: u64,
    /// Why the walk did not reach the outermost function.
    pub cut: Option<String>,
    /// Frames may be missing.
    #[serde(default)]
    pub approximate: bool,
    /// From the innermost outwards.
    pub frames: Vec<Frame>,
}

/// One frame of a stack; absent where unknown.
#[derive(Debug, Clone, Deserialize)]
pub struct Frame {
    /// Demangled name.
    pub function: Option<String>,
    /// Path of the module.
    pub module: Option<String>,
    /// Where in the module.
    pub offset: Option<u64>,
    /// A part of the next frame that has an address of its own.
    pub inlined: bool,
}

impl Chains {
    /// Reads the file and joins it with the ledger, whose sites are "#" and a chain's number.
    pub fn read(path: &Path, ledger: &Ledger) -> Result<Self> {
        #[derive(Deserialize)]
        struct Written {
            chains: Vec<Vec<String>>,
            notes: BTreeMap<String, i64>,
        }
        let text = std::fs::read_to_string(path).context("reading the program's chains")?;
        let written: Written = serde_json::from_str(&text).context("the program's chains")?;
        let mut expected: BTreeMap<Names, Expected> = BTreeMap::new();
        for (index, chain) in written.chains.iter().enumerate() {
            let site = format!("#{index}");
            let site = ledger.sites.get(&site);
            let outstanding = site.context("a chain without a site")?.outstanding;
            let (marks, names) = chain.iter().map(|name| marked(name)).unzip();
            let entry = expected.entry(names).or_insert(Expected {
                outstanding: Weight::default(),
                marks,
            });
            entry.outstanding += outstanding;
        }
        Ok(Self {
            expected,
            notes: written.notes,
        })
    }

    /// What is outstanding by the function that took it.
    pub fn by_function(&self) -> BTreeMap<String, Weight> {
        let weights = self.expected.iter();
        by_function(
            &weights
                .map(|(names, chain)| (names.clone(), chain.outstanding))
                .collect(),
        )
    }
}

fn marked(name: &str) -> (char, String) {
    match name.chars().next() {
        Some(mark @ ('^' | '?' | '>')) => (mark, name[1..].to_owned()),
        _ => (' ', name.to_owned()),
    }
}

/// Sums by the first name.
pub fn by_function(chains: &BTreeMap<Names, Weight>) -> BTreeMap<String, Weight> {
    let mut functions: BTreeMap<String, Weight> = BTreeMap::new();
    for (names, weight) in chains {
        if let Some(function) = names.first() {
            *functions.entry(function.clone()).or_default() += *weight;
        }
    }
    functions
}

impl Walked {
    /// Reads the recording.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context("reading the recording")?;
        serde_json::from_str(&text).context("the recording is not what its contract says")
    }

    /// Weights by what is left of each stack when only the program's functions are kept.
    pub fn by_chain(&self) -> BTreeMap<Names, Weight> {
        let mut chains: BTreeMap<Names, Weight> = BTreeMap::new();
        for stack in &self.stacks {
            *chains.entry(stack.names()).or_default() += stack.weight();
        }
        chains
    }
}

impl Stack {
    /// What it weighs.
    pub fn weight(&self) -> Weight {
        Weight {
            bytes: self.bytes,
            count: self.count,
        }
    }

    /// Whether it says itself that frames may be missing.
    pub fn is_doubtful(&self) -> bool {
        self.approximate || self.cut.is_some()
    }

    /// The frames that have an address of their own.
    pub fn physical(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.inlined)
    }

    /// The program's own functions on it.
    pub fn names(&self) -> Names {
        self.physical()
            .filter_map(Frame::own)
            .map(str::to_owned)
            .collect()
    }

    /// In one line, for messages.
    pub fn line(&self) -> String {
        let frames: Vec<&str> = self
            .physical()
            .map(|frame| frame.function.as_deref().unwrap_or("?"))
            .collect();
        frames.join(" < ")
    }
}

impl Frame {
    /// Its name when it is one of the program's own functions: those have names of their own.
    pub fn own(&self) -> Option<&str> {
        let name = self.function.as_deref()?;
        // The part of a function that is apart from it: what a catch block does, for example.
        let name = name.split(" [clone .cold").next().unwrap_or(name);
        let name = name.strip_suffix(".cold").unwrap_or(name);
        let prefixes = ["site_", "hop_", "chain", "<chain"];
        (name == "main" || prefixes.iter().any(|prefix| name.starts_with(prefix))).then_some(name)
    }
}

/// Whether `part` is `whole` with some or no names left out.
pub fn is_part(part: &[String], whole: &[String]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|name| rest.any(|other| other == name))
}
