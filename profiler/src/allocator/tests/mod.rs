//! Plans for real libraries, for programs built here, and for damage.

mod damaged;
mod libraries;
mod names;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::image::Image;
use super::{Hints, Plan, PlanError, Returns, Shape, plan};

fn plan_of(elf: &[u8]) -> Plan {
    plan(elf, &Hints::default()).unwrap()
}

/// The symbols of a plan, in order, one string: for comparing with a written list.
fn symbols(plan: &Plan) -> String {
    let symbols: BTreeSet<&str> = plan.functions.iter().map(|it| it.symbol.as_str()).collect();
    assert_eq!(symbols.len(), plan.functions.len(), "a symbol twice");
    symbols.into_iter().collect::<Vec<_>>().join(" ")
}

fn returns<'a>(plan: &'a Plan, symbol: &str) -> &'a Returns {
    let found = plan.functions.iter().find(|it| it.symbol == symbol);
    &found
        .unwrap_or_else(|| panic!("{symbol} is not in {plan:?}"))
        .returns
}

/// Builds a program from source text; the language is the compiler's.
fn build(compiler: &str, arguments: &[&str], source: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let name = if compiler == "g++" {
        "program.cc"
    } else {
        "program.c"
    };
    std::fs::write(directory.path().join(name), source).unwrap();
    let mut command = Command::new(compiler);
    command
        .current_dir(directory.path())
        .args([name, "-o", "program"])
        .args(arguments);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(directory.path().join("program")).unwrap()
}

/// Every instruction as objdump reads the file, by file offset.
fn objdump(elf: &[u8]) -> BTreeMap<u64, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, elf).unwrap();
    let output = Command::new("objdump")
        .args(["-d", "--no-show-raw-insn"])
        .arg(&path)
        .output();
    let image = Image::parse(elf).unwrap();
    String::from_utf8_lossy(&output.unwrap().stdout)
        .lines()
        .filter_map(|line| {
            let (address, instruction) = line.split_once(":\t")?;
            let address = u64::from_str_radix(address.trim(), 16).ok()?;
            Some((image.offset(address)?, instruction.trim().to_owned()))
        })
        .collect()
}

/// Every probe sits on an instruction, every return probe on a `ret`, and one that is not at the entry on
/// an instruction that is emulated, as objdump sees it.
fn check_sites(elf: &[u8], plan: &Plan) {
    let instructions = objdump(elf);
    for function in &plan.functions {
        assert!(instructions.contains_key(&function.entry), "{function:?}");
        let site = &instructions[&function.site.offset];
        let emulated = ["push ", "j", "nop", "call "];
        assert!(
            function.site.offset == function.entry
                || emulated.iter().any(|it| site.starts_with(it)),
            "{site} for {function:?}"
        );
        let Returns::Instructions(sites) = &function.returns else {
            continue;
        };
        assert!(!sites.is_empty(), "{function:?}");
        assert!(sites.is_sorted_by(|a, b| a < b), "{function:?}");
        for site in sites {
            let instruction = instructions
                .get(site)
                .unwrap_or_else(|| panic!("{function:?}"));
            assert!(
                instruction.contains("ret"),
                "{instruction} for {function:?}"
            );
            let byte = elf[*site as usize];
            assert!(
                [0xc3, 0xc2, 0xf3, 0xf2].contains(&byte),
                "{byte:#x} for {function:?}"
            );
        }
    }
}

/// A library of this machine; `None`, and a line saying so, where it is not installed.
fn library(name: &str) -> Option<Vec<u8>> {
    let directories = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib"];
    let found = directories
        .iter()
        .map(|it| Path::new(it).join(name))
        .find(|it| it.exists());
    if found.is_none() {
        eprintln!("not tested: {name} is not installed");
    }
    std::fs::read(found?).ok()
}
