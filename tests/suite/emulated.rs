//! What the running kernel emulates under a probe is what probe sites are chosen by: no more, so that none is dearer than it
//! need be, and no less, so that none is passed over.

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use unfreed::check;
use unfreed::site::entry::emulated;
use unfreed::site::{Code, Place};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::child::{Lines, Owned};
use unfreed_tests::uprobe;

const LIMIT: Duration = Duration::from_mins(1);

/// Functions of `emulated.c`.
const INSTRUCTIONS: [&str; 23] = [
    "push_rbp",
    "push_r12",
    "push_constant",
    "jmp_near",
    "jmp_far",
    "je_near",
    "je_far",
    "call_next",
    "nop_1",
    "nop_2",
    "nop_3",
    "nop_4",
    "nop_6",
    "nop_7",
    "nop_8",
    "endbr64",
    "test",
    "cmp",
    "mov",
    "lea",
    "sub",
    "pop",
    "only_ret",
];

/// A function, alone.
struct Function {
    address: u64,
    code: Vec<u8>,
    /// Where it is in its file.
    offset: u64,
}

impl Function {
    fn of(file: &object::File<'_>, name: &str) -> Result<Self> {
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| symbol.is_definition() && symbol.name() == Ok(name));
        let symbol = symbol.with_context(|| format!("there is no {name}"))?;
        let (address, size) = (symbol.address(), symbol.size());
        let index = symbol.section_index().context("in no section")?;
        let section = file.section_by_index(index)?;
        let (begin, _) = section.file_range().context("not in the file")?;
        let code = section.data_range(address, size)?.context("no code")?;
        Ok(Self {
            address,
            code: code.to_vec(),
            offset: begin + address - section.address(),
        })
    }
}

impl Code for Function {
    fn bytes(&self, address: u64) -> &[u8] {
        let at = address.checked_sub(self.address);
        at.and_then(|at| self.code.get(at as usize..))
            .unwrap_or(&[])
    }

    fn extent(&self, _: u64) -> Option<Range<u64>> {
        Some(self.address..self.address + self.code.len() as u64)
    }

    fn handlers(&self, _: u64) -> Vec<u64> {
        Vec::new()
    }

    fn slot(&self, _: u64) -> Option<Place> {
        None
    }
}

/// Has the program call a function while a probe is at `offset` of the file, or on the return of the function there: how often
/// that is hit, and whether the kernel then executes instructions elsewhere.
fn probed(path: &Path, name: &str, offset: u64, returns: bool) -> Result<(u64, bool)> {
    let mut child = Owned::spawn(
        Command::new(path)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    )?;
    let lines = Lines::of(child.child().stdout.take().context("its output")?);
    ensure!(lines.next(LIMIT)?.as_deref() == Some("ready"), "not ready");
    let probe = uprobe::open(path, offset, returns, child.pid())?;
    drop(child.child().stdin.take());
    let said = lines.next(LIMIT)?;
    let said = said.with_context(|| format!("{name} has ended the program"))?;
    Ok((uprobe::hits(probe)?, said.parse::<u8>()? == 1))
}

#[test]
fn sites_are_what_this_kernel_emulates() -> Result<()> {
    let path = build::program("emulated", Linkage::Dynamic)?;
    let bytes = std::fs::read(&path)?;
    let file = object::File::parse(&*bytes)?;
    let mut wrong = Vec::new();
    for name in INSTRUCTIONS {
        let function = Function::of(&file, name)?;
        let site = emulated(&function, function.address, check::emulation(), &mut 100);
        let is_site = site.is_some_and(|site| site.address == function.address);
        let (hits, is_single_stepped) = probed(&path, name, function.offset, false)?;
        ensure!(hits == 1, "the probe on {name} was hit {hits} times");
        if is_site == is_single_stepped {
            let does = if is_single_stepped {
                "single-steps"
            } else {
                "emulates"
            };
            wrong.push(format!("the kernel {does} {name}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A probe on a function's return may sit behind the entry, where the entry's own is, as long as nothing has been pushed: the
/// kernel replaces the word at the top of the stack.
#[test]
fn a_return_is_probed_behind_the_entry_before_anything_is_pushed() -> Result<()> {
    let path = build::program("emulated", Linkage::Dynamic)?;
    let bytes = std::fs::read(&path)?;
    let file = object::File::parse(&*bytes)?;
    for (name, behind, expected) in [("only_ret", 0, 1), ("inside", 3, 1), ("after_push", 4, 0)] {
        let function = Function::of(&file, name)?;
        let (hits, _) = probed(&path, name, function.offset + behind, true)?;
        ensure!(hits == expected, "{name}: {hits} returns");
    }
    Ok(())
}
