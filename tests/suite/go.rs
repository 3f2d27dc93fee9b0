//! Programs of Go: frames are Go's functions, stacks are whole, and pages belong to the function that
//! touched them, with and without symbols. (Heap: what C takes that Go calls.)

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use unfreed_tests::build::{GoBuild, Recipe};

use crate::session::{self, Session};

/// Whose pages the program knows: of large blocks, which Go's runtime gives as they come from the kernel.
/// What it writes about them itself is on other pages, touched in `runtime.mallocgc`.
const EXACT: [&str; 3] = ["main.siteWrites", "main.siteReads", "main.siteMaps"];

/// The same, but what it copies from are small blocks at first: these share some pages with others.
const GROWS: &str = "main.siteAppends";
const SMALL_BLOCKS: u64 = 32;

/// Of those it knows the least: a table's growing means copies, of which nothing is given back, as there are
/// no collections; a stack is at least as large as what is on it.
const AT_LEAST: [&str; 2] = ["main.siteInserts", "main.siteDeep"];

/// Through which functions these touch their blocks: none, a system call, copies and zeros for the new
/// part. Below any other the runtime writes for itself: about blocks, stacks, signals and files.
const TOUCHES: &[&str] = &[
    "os.(*File).Read",
    "os.(*File).read",
    "internal/poll.(*FD).Read",
    "internal/poll.ignoringEINTRIO",
    "syscall.Read",
    "syscall.read",
    "syscall.Syscall",
    "syscall.RawSyscall6",
    "runtime/internal/syscall.Syscall6",
    "internal/runtime/syscall.Syscall6",
    "runtime.growslice",
    "runtime.memmove",
    "runtime.memclrNoHeapPointers",
];

/// Where goroutines, the scheduler, threads and the process begin.
const OUTERMOST: &[&str] = &[
    "runtime.goexit",
    "runtime.mcall",
    "runtime.schedule",
    "runtime.goschedImpl",
    "runtime.gopreempt_m",
    "runtime.preemptPark",
    "runtime.mstart",
    "runtime.clone",
    "runtime.rt0_go",
    "_rt0_amd64_linux",
    "_rt0_amd64",
];

/// What a program says after its work, and what was recorded meanwhile.
fn record(program: &mut Command, arguments: &[&str]) -> Result<(Value, Value)> {
    let mut target = Session::ready(program)?;
    let directory = tempfile::tempdir()?;
    let json = directory.path().join("go.json");
    let (pid, path) = (target.pid().to_string(), json.to_string_lossy());
    let fixed = ["-p", &pid, "--min-age", "0", "-q", "-o", &path];
    let unfreed = Session::recording(&[arguments, &fixed].concat())?;
    target.tell("go")?;
    let line = target.stdout.next(Duration::from_mins(1))?;
    let said = serde_json::from_str(&line.context("the program has ended")?)?;
    unfreed.signal(Signal::SIGINT)?;
    let ended = unfreed.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    target.tell("end")?;
    let ended = target.end()?;
    ensure!(ended.status.success(), "the target: {}", ended.status);
    Ok((said, session::read_json(&json)?))
}

/// A stack's functions, innermost first, without what the compiler put into others.
fn functions(stack: &Value) -> Result<Vec<&str>> {
    let frames = stack["frames"].as_array().context("no frames")?;
    let frames = frames.iter().filter(|frame| frame["inlined"] != true);
    Ok(frames
        .map(|frame| frame["function"].as_str().unwrap_or("?"))
        .collect())
}

fn stacks(result: &Value) -> Result<&Vec<Value>> {
    result["stacks"].as_array().context("no stacks")
}

/// Pages by the function of the program that they were touched for; `own`: not those of the runtime's
/// allocator.
fn by_site(result: &Value, own: bool) -> Result<BTreeMap<String, u64>> {
    let mut sites = BTreeMap::new();
    for stack in stacks(result)? {
        // The program's own code, read at its first execution.
        if stack["kind"] == "file" {
            continue;
        }
        let functions = functions(stack)?;
        let at = functions
            .iter()
            .position(|name| name.starts_with("main.site"));
        if let Some(at) = at
            && (!own || functions[..at].iter().all(|name| TOUCHES.contains(name)))
        {
            let site = functions[at];
            *sites.entry(site.to_owned()).or_default() +=
                stack["count"].as_u64().context("no count")?;
        }
    }
    Ok(sites)
}

/// Every stack goes from the function that touched to the one that goroutines or threads begin with.
fn are_whole(result: &Value) -> Result<()> {
    let unwinding = &result["unwinding"];
    let number = |what: &str| unwinding[what].as_u64().context("no number");
    // A goroutine can be preempted at any instruction, by a signal; what it does in the handler's name
    // (`asyncPreempt`) is cut off.
    ensure!(number("walked")? - number("complete")? <= 5, "{unwinding}");
    ensure!(number("approximate")? == 0, "{unwinding}");
    for stack in stacks(result)?
        .iter()
        .filter(|stack| stack["cut"].is_null())
    {
        let functions = functions(stack)?;
        let outermost = *functions.last().context("no frame")?;
        ensure!(OUTERMOST.contains(&outermost), "{functions:?}");
        let mut unnamed = stack["frames"]
            .as_array()
            .context("no frames")?
            .iter()
            .filter(|frame| frame["function"].is_null());
        ensure!(unnamed.all(|frame| frame["module"] == "[vdso]"), "{stack}");
        if functions.contains(&"main.main") {
            let ends = ["main.main", "runtime.main", "runtime.goexit"];
            ensure!(functions.ends_with(&ends), "{functions:?}");
        }
    }
    Ok(())
}

/// All but 1 % of what came is explained by stacks.
fn is_explained(result: &Value) -> Result<()> {
    let sums = &result["reconciliation"];
    let of = |what: &str| -> Result<i64> {
        let number = |kind: &str| {
            sums[what][kind]
                .as_i64()
                .with_context(|| format!("no {what}"))
        };
        Ok(number("anonymous")? + number("huge")?)
    };
    let (explained, unexplained) = (of("explained")?, of("unexplained")?);
    ensure!(explained > 0 && unexplained * 100 < explained, "{sums}");
    Ok(())
}

fn is_right(build: GoBuild) -> Result<()> {
    let program = Recipe::Go("leaks", build).file()?;
    let mut command = Command::new(program);
    // A signal's frame on its stack is a page of the function that it interrupts.
    command.env("GODEBUG", "asyncpreemptoff=1");
    let (said, result) = record(&mut command, &["pages"])?;
    let said: BTreeMap<String, u64> = serde_json::from_value(said)?;
    let (own, found) = (by_site(&result, true)?, by_site(&result, false)?);
    let tell = || format!("said {said:?}, found {own:?} of {found:?}");
    for site in EXACT {
        ensure!(own.get(site) == said.get(site), "{site}: {}", tell());
    }
    let grown = own[GROWS].checked_sub(said[GROWS]);
    ensure!(
        grown.is_some_and(|small| small <= SMALL_BLOCKS),
        "{}",
        tell()
    );
    for site in AT_LEAST {
        ensure!(found[site] >= said[site], "{site}: {}", tell());
    }
    is_explained(&result)?;
    are_whole(&result)?;
    let has = |chain: &[&str]| -> Result<bool> {
        for stack in stacks(&result)? {
            if functions(stack)?
                .windows(chain.len())
                .any(|part| part == chain)
            {
                return Ok(true);
            }
        }
        Ok(false)
    };
    // The runtime's own work is done on another stack, from which the goroutine's is found.
    for chain in [
        &[
            "main.siteWrites",
            "main.work",
            "main.main",
            "runtime.main",
            "runtime.goexit",
        ][..],
        &[
            "main.siteWrites",
            "main.inGoroutine",
            "main.work.func1",
            "runtime.goexit",
        ],
        &[
            "runtime.copystack",
            "runtime.newstack",
            "runtime.morestack",
            "main.siteDeep",
            "main.siteDeep",
        ],
        &[
            "runtime.systemstack",
            "runtime.(*mheap).alloc",
            "runtime.(*mcache).allocLarge",
            "runtime.mallocgc",
        ],
    ] {
        ensure!(has(chain)?, "no {chain:?}: {}", tell());
    }
    Ok(())
}

#[test]
fn with_symbols() -> Result<()> {
    is_right(GoBuild::Plain)
}

#[test]
fn stripped() -> Result<()> {
    is_right(GoBuild::Stripped)
}

#[test]
fn position_independent_and_stripped() -> Result<()> {
    is_right(GoBuild::PieStripped)
}

/// Blocks of C's that Go asks for, through all of Go's moves from stack to stack.
#[test]
fn calls_of_c() -> Result<()> {
    for build in [GoBuild::Plain, GoBuild::PieStripped] {
        let program = Recipe::Go("cgo", build).file()?;
        let (said, result) = record(&mut Command::new(program), &["heap"])?;
        let mut found = BTreeMap::new();
        for stack in stacks(&result)? {
            let functions = functions(stack)?;
            let Some(site) = functions.iter().find(|name| name.starts_with("main.site")) else {
                continue;
            };
            *found.entry(*site).or_insert(0) += stack["bytes"].as_u64().context("no bytes")?;
            let ends = ["main.main", "runtime.main", "runtime.goexit"];
            ensure!(
                stack["cut"].is_null() && functions.ends_with(&ends),
                "{functions:?}"
            );
            let through = ["runtime.asmcgocall", "runtime.cgocall"];
            ensure!(
                functions.windows(2).any(|pair| pair == through),
                "{functions:?}"
            );
            if *site == "main.siteInCallback" {
                let to_go = [
                    "runtime.cgocallback",
                    "runtime.systemstack_switch",
                    "runtime.cgocall",
                    "main._Cfunc_call_go",
                    "main.siteInCallback",
                ];
                ensure!(
                    functions.windows(to_go.len()).any(|part| part == to_go),
                    "{functions:?}"
                );
            }
        }
        let said: BTreeMap<&str, u64> = said
            .as_object()
            .context("no sites")?
            .iter()
            .filter_map(|(site, bytes)| Some((&**site, bytes.as_u64()?)))
            .collect();
        ensure!(found == said, "said {said:?}, found {found:?}");
    }
    Ok(())
}

/// A program of the distribution's, without symbols.
#[test]
fn of_the_distribution() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (source, json) = (
        directory.path().join("long.go"),
        directory.path().join("go.json"),
    );
    let function = |index: u32| format!("func f{index}(a, b int) int {{ return a*{index} + b }}\n");
    let text = (0..20_000).map(function).collect::<String>();
    std::fs::write(&source, format!("package long\n{text}"))?;
    let (json, source) = (json.to_string_lossy(), source.to_string_lossy());
    let arguments = [
        "pages",
        "--all",
        "--min-age",
        "0",
        "-q",
        "-o",
        &json,
        "--",
        "/usr/lib/go/bin/gofmt",
        "-l",
        &source,
    ];
    let ended = session::run(&arguments)?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let result = session::read_json(json.as_ref().as_ref())?;
    are_whole(&result)?;
    let mut pages = 0;
    for stack in stacks(&result)? {
        if functions(stack)?
            .iter()
            .any(|name| name.starts_with("go/parser."))
        {
            pages += stack["count"].as_u64().context("no count")?;
        }
    }
    ensure!(pages > 1000, "{pages} pages for the parser");
    Ok(())
}
