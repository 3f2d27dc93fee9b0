//! The ways to walk a stack, what they need of a program, and that each report says how well it went.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::recorded::Recorded;
use crate::toolchain;

const WHOLE: [&str; 6] = [
    "malloc",
    "unwind_leak",
    "unwind_first",
    "unwind_second",
    "unwind_third",
    "main",
];
const BLOCKS: u64 = 7;
const FRAME_POINTERS: &str = "-fno-omit-frame-pointer";
const NO_FRAME_POINTERS: &str = "-fomit-frame-pointer";
/// Debug information would have a table, too.
const NO_TABLE: [&str; 2] = ["-fno-asynchronous-unwind-tables", "-g0"];

/// What a recording says of its one stack.
struct Walked {
    functions: Vec<String>,
    unwinding: Value,
    cut: Option<String>,
    approximate: bool,
    warnings: String,
    text: String,
}

impl Walked {
    /// Compiles the program this way, and records it that way.
    fn of(options: &[&str], unwind: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let program = directory.path().join("unwind_kinds");
        toolchain::compile("unwind_kinds.c", &program, options)?;
        Self::record(&program, unwind)
    }

    fn record(program: &Path, unwind: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let text = directory.path().join("heap.txt");
        let output = text.to_string_lossy();
        let more = ["--unwind", unwind, "-o", &output];
        let mut case = Recorded::start(&mut Command::new(program), &more)?;
        case.work()?;
        let result = case.stop()?;
        let stacks = result["stacks"].as_array().context("no stacks")?;
        let [stack] = stacks.as_slice() else {
            anyhow::bail!("{} stacks instead of one", stacks.len());
        };
        ensure!(stack["bytes"] == BLOCKS * 1409, "{stack}");
        let frames = stack["frames"].as_array().context("no frames")?;
        let name = |frame: &Value| frame["function"].as_str().unwrap_or("?").to_owned();
        Ok(Self {
            functions: frames.iter().map(name).collect(),
            unwinding: result["unwinding"].clone(),
            cut: stack["cut"].as_str().map(str::to_owned),
            approximate: stack["approximate"] == true,
            warnings: result["warnings"].to_string(),
            text: std::fs::read_to_string(text)?,
        })
    }

    /// Every function of the program is there, in order, up to the outermost.
    fn is_whole(&self) -> bool {
        self.cut.is_none()
            && self.unwinding["complete"] == BLOCKS
            && self.functions.starts_with(&WHOLE.map(str::to_owned))
            && self.functions.last().is_some_and(|last| last == "_start")
    }

    fn check(&self, what: &str, holds: bool) -> Result<()> {
        let Self {
            functions,
            unwinding,
            text,
            ..
        } = self;
        ensure!(holds, "not {what}: {functions:?} {unwinding}\n{text}");
        Ok(())
    }
}

#[test]
fn tables_do_not_need_frame_pointers() -> Result<()> {
    for unwind in ["auto", "tables"] {
        let walked = Walked::of(&[NO_FRAME_POINTERS], unwind)?;
        walked.check("whole", walked.is_whole())?;
        walked.check("exact", !walked.approximate)?;
        walked.check("said", walked.unwinding["mode"] == unwind)?;
        walked.check("said", walked.text.contains("100.0% whole"))?;
    }
    Ok(())
}

#[test]
fn frame_pointers_alone_miss_callers_and_the_report_says_so() -> Result<()> {
    let walked = Walked::of(&[NO_FRAME_POINTERS], "fp")?;
    walked.check("cut", !walked.is_whole())?;
    // At the entry of malloc the return address is on top of the stack.
    walked.check("right so far", walked.functions[1] == "unwind_leak")?;
    walked.check("said", walked.unwinding["mode"] == "fp")?;
    walked.check("said", walked.text.contains("frame pointers only"))?;
    let walked = Walked::of(&[FRAME_POINTERS], "fp")?;
    let names = WHOLE.map(str::to_owned);
    walked.check("walked", walked.functions.starts_with(&names))
}

/// A walk that is remembered depends on what it has read, in every way of walking.
#[test]
fn callers_that_take_turns_are_told_apart() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("unwind_turns");
    toolchain::compile("unwind_turns.c", &program, &[FRAME_POINTERS])?;
    for unwind in ["fp", "auto"] {
        let mut case = Recorded::start(&mut Command::new(&program), &["--unwind", unwind])?;
        case.work()?;
        let result = case.stop()?;
        let blocks = |function: &str| -> u64 {
            let stacks = result["stacks"].as_array().into_iter().flatten();
            let of_it = stacks.filter(|stack| stack["frames"][2]["function"] == function);
            of_it.filter_map(|stack| stack["count"].as_u64()).sum()
        };
        let (left, right) = (blocks("turns_left"), blocks("turns_right"));
        ensure!((left, right) == (50, 50), "{unwind}: {left} and {right}");
    }
    Ok(())
}

#[test]
fn without_a_table_the_frame_pointer_is_followed_and_the_stack_is_marked() -> Result<()> {
    let walked = Walked::of(&[&[FRAME_POINTERS], &NO_TABLE[..]].concat(), "auto")?;
    walked.check("whole", walked.is_whole())?;
    walked.check("marked", walked.approximate)?;
    walked.check("counted", walked.unwinding["approximate"] == BLOCKS)?;
    walked.check("said", walked.text.contains("in part by frame pointers"))
}

#[test]
fn with_neither_a_stack_is_cut_and_nothing_is_invented() -> Result<()> {
    let cases = [(NO_FRAME_POINTERS, "auto"), (FRAME_POINTERS, "tables")];
    for (frames, unwind) in cases {
        let walked = Walked::of(&[&[frames], &NO_TABLE[..]].concat(), unwind)?;
        walked.check("cut", walked.cut.as_deref() == Some("no_table"))?;
        walked.check("counted", walked.unwinding["cut"]["no_table"] == BLOCKS)?;
        let so_far = &WHOLE[..walked.functions.len().min(WHOLE.len())];
        walked.check("a part of the truth", walked.functions == so_far)?;
        walked.check("said", walked.text.contains("cut: no_table 7"))?;
        walked.check("said", walked.unwinding["mode"] == unwind)?;
    }
    Ok(())
}

#[test]
fn a_file_whose_unwind_information_is_damaged_is_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("unwind_kinds");
    toolchain::compile("unwind_kinds.c", &program, &[FRAME_POINTERS, "-g0"])?;
    let damaged = directory.path().join("damaged");
    let noise = directory.path().join("noise");
    std::fs::write(&noise, [0x0f; 600])?;
    let section = format!(".eh_frame={}", noise.display());
    let mut objcopy = Command::new("objcopy");
    objcopy.args(["--update-section", &section]);
    toolchain::succeed(objcopy.arg(&program).arg(&damaged))?;
    let walked = Walked::record(&damaged, "auto")?;
    let named = format!("no unwind info for {}", damaged.display());
    walked.check("warned of", walked.warnings.contains(&named))?;
    walked.check(
        "walked all the same",
        walked.is_whole() && walked.approximate,
    )?;
    let sound = Walked::record(&program, "auto")?;
    sound.check("without a warning", sound.warnings == "[]")
}
