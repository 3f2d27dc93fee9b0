//! Every program under every allocator it can run with.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build::{Linkage, Recipe};
use crate::compare::{Side, compare};
use crate::ledger::{Ledger, Weight};
use crate::program::Program;
use crate::unfreed::{Recording, Unfreed};

/// Where a program's blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// The shared glibc.
    Glibc,
    /// Debian's libjemalloc2, preloaded.
    Jemalloc,
    /// Debian's libtcmalloc-minimal4, preloaded.
    Tcmalloc,
    /// Debian's libmimalloc2.0, preloaded.
    Mimalloc,
    /// glibc inside the executable.
    GlibcStatic,
    /// The shared musl.
    Musl,
    /// musl inside the executable.
    MuslStatic,
    /// One that the program defines.
    Own,
    /// Rust's System, which is glibc.
    RustSystem,
    /// The crate tikv-jemallocator.
    RustJemalloc,
    /// The crate mimalloc.
    RustMimalloc,
}

use Allocator::{
    Glibc, GlibcStatic, Jemalloc, Mimalloc, Musl, MuslStatic, Own, RustJemalloc, RustMimalloc,
    RustSystem, Tcmalloc,
};

const ANY_C: &[Allocator] = &[
    Glibc,
    Jemalloc,
    Tcmalloc,
    Mimalloc,
    GlibcStatic,
    Musl,
    MuslStatic,
];
const ANY_CPLUSPLUS: &[Allocator] = &[Glibc, Jemalloc, Tcmalloc, Mimalloc, GlibcStatic];
const ANY_SHARED: &[Allocator] = &[Glibc, Jemalloc, Tcmalloc, Mimalloc, Musl];

/// The programs, and with what each of them runs.
pub const PROGRAMS: &[(&str, &[Allocator])] = &[
    ("functions", ANY_C),
    ("extended", &[Jemalloc, Tcmalloc, Mimalloc]),
    ("operators", ANY_CPLUSPLUS),
    ("threads", ANY_C),
    ("realloc_chain", ANY_C),
    ("processes", ANY_C),
    ("signals", ANY_C),
    ("dlopen", ANY_SHARED),
    ("mixer", ANY_CPLUSPLUS),
    ("coroutines", &[Glibc, Jemalloc, GlibcStatic]),
    ("jumps", &[Own]),
    ("interrupts", &[Own]),
    ("rust", &[RustSystem, RustJemalloc, RustMimalloc]),
];

/// Programs that know their chains of callers, and with what each of them runs.
const CHAINS: &[(&str, &[Allocator])] = &[
    ("chain_c", ANY_C),
    ("chain_callbacks", ANY_C),
    ("chain_leaks", ANY_CPLUSPLUS),
    ("chain_paths", ANY_CPLUSPLUS),
    ("chain_rust", &[RustSystem]),
];

/// Programs that are recorded a second time with `--all`, for what they took.
const ALL_TOO: &[&str] = &["functions", "extended", "operators", "jumps", "rust"];

/// One program under one allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Its source's name.
    pub program: &'static str,
    /// Where its blocks come from.
    pub allocator: Allocator,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_on_{}", self.program, self.allocator.name())
    }
}

/// Every case.
pub fn cases() -> impl Iterator<Item = Case> {
    each(PROGRAMS)
}

/// Every program that knows its chains of callers, under every allocator.
pub fn chains() -> impl Iterator<Item = Case> {
    each(CHAINS)
}

fn each(programs: &'static [(&str, &[Allocator])]) -> impl Iterator<Item = Case> {
    programs.iter().flat_map(|&(program, allocators)| {
        allocators
            .iter()
            .map(move |&allocator| Case { program, allocator })
    })
}

/// The result of a case.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which.
    pub case: Case,
    /// What the program says.
    pub ledger: Ledger,
    /// What unfreed says to be at no call site: the C library's own, such as a thread's.
    pub elsewhere: Weight,
    /// Numbers that are not what they have to be, as sentences.
    pub wrong: Vec<String>,
    /// Events that unfreed says to have lost.
    pub lost: u64,
}

impl Row {
    fn note(&mut self, ledger: &Ledger, recording: &Recording, side: Side) {
        let differences = compare(ledger, &recording.report, side);
        self.wrong.extend(
            differences
                .iter()
                .map(|difference| format!("{side:?}: {difference}")),
        );
        self.lost += recording.report.lost().map(|(_, count)| count).sum::<u64>();
    }
}

impl Allocator {
    /// Used in names of tests and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Glibc => "glibc",
            Jemalloc => "jemalloc",
            Tcmalloc => "tcmalloc",
            Mimalloc => "mimalloc",
            GlibcStatic => "glibc_static",
            Musl => "musl",
            MuslStatic => "musl_static",
            Own => "own",
            RustSystem => "system",
            RustJemalloc => "tikv_jemallocator",
            RustMimalloc => "mimalloc_crate",
        }
    }

    /// By the name.
    pub fn by_name(name: &str) -> Option<Self> {
        PROGRAMS
            .iter()
            .flat_map(|(_, allocators)| *allocators)
            .copied()
            .find(|allocator| allocator.name() == name)
    }

    /// The library to preload for it, where there is one.
    pub fn preload(self) -> Result<Option<PathBuf>> {
        let (library, package) = match self {
            Jemalloc => ("libjemalloc.so.2", "libjemalloc2"),
            Tcmalloc => ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
            Mimalloc => ("libmimalloc.so.2.0", "libmimalloc2.0"),
            _ => return Ok(None),
        };
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
            .iter()
            .map(|directory| Path::new(directory).join(library))
            .find(|path| path.exists())
            .map(Some)
            .with_context(|| {
                format!("{library} is missing: apt-get install {package}, or cargo xtask setup")
            })
    }

    /// How a C or C++ program has to be linked for it.
    pub fn linkage(self) -> Linkage {
        match self {
            GlibcStatic => Linkage::Static,
            Musl => Linkage::Musl,
            MuslStatic => Linkage::MuslStatic,
            _ => Linkage::Dynamic,
        }
    }
}

impl Case {
    /// How to build the program.
    pub fn recipe(self) -> Recipe {
        match self.allocator {
            RustSystem => Recipe::Rust(""),
            RustJemalloc => Recipe::Rust("jemalloc"),
            RustMimalloc => Recipe::Rust("mimalloc"),
            _ => Recipe::Program(self.program, self.allocator.linkage()),
        }
    }

    /// How to build the library that it loads, where it loads one.
    pub fn plugin(self) -> Option<Recipe> {
        (self.program == "dlopen").then(|| Recipe::Plugin("plugin", self.allocator.linkage()))
    }

    /// How to build the program of one of [`chains`].
    pub fn frameless(self) -> Recipe {
        match self.allocator {
            RustSystem => Recipe::FramelessRust(self.program),
            _ => Recipe::Frameless(self.program, self.allocator.linkage()),
        }
    }

    /// Builds and starts the program, up to the line that starts its workload.
    pub fn start(self) -> Result<Program> {
        let path = self.recipe().file()?;
        let plugin = self.plugin().map(Recipe::file).transpose()?;
        Program::start(&path, plugin, self.allocator.preload()?.as_deref())
    }

    /// Runs it while unfreed records it, with `options` more for unfreed.
    pub fn record(self, options: &[&str]) -> Result<(Ledger, Recording)> {
        let mut program = self.start()?;
        let unfreed = Unfreed::heap(program.pid(), options)?;
        let ledger = program.run()?;
        let recording = unfreed.stop()?;
        program.finish().context("the program was harmed")?;
        Ok((ledger, recording))
    }

    /// Records it, with `options` more for unfreed, and compares what is outstanding; of some programs
    /// then, in a second run, all that was taken.
    pub fn run(self, options: &[&str]) -> Result<Row> {
        let context = || format!("heap_{self}");
        let (ledger, recording) = self.record(options).with_context(context)?;
        let mut row = Row {
            case: self,
            elsewhere: recording.report.by_site().1,
            wrong: Vec::new(),
            lost: 0,
            ledger: ledger.clone(),
        };
        row.note(&ledger, &recording, Side::Outstanding);
        if ALL_TOO.contains(&self.program) {
            let options = [options, &["--all"]].concat();
            let (ledger, recording) = self.record(&options).with_context(context)?;
            row.note(&ledger, &recording, Side::Taken);
        }
        Ok(row)
    }

    /// Fails with every number that is wrong.
    pub fn check(self, options: &[&str]) -> Result<()> {
        let row = self.run(options)?;
        ensure!(
            row.wrong.is_empty(),
            "heap_{self}:\n  {}",
            row.wrong.join("\n  ")
        );
        Ok(())
    }
}

/// Runs every case, one after the other. A case that could not be run is an error in its place.
pub fn run_all(mut each: impl FnMut(Case, &Result<Row>)) -> Vec<(Case, Result<Row>)> {
    cases()
        .map(|case| {
            let row = case.run(&[]);
            each(case, &row);
            (case, row)
        })
        .collect()
}
