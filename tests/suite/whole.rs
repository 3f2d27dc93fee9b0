//! Programs that nobody here wrote, built by others without frame pointers: nearly all of their
//! stacks reach the outermost function, and what is there is one.

mod outermost;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use unfreed_tests::redis::Redis;

use crate::session::{self, Session};
use crate::toolchain::succeed;
use outermost::Outermost;

/// The smallest share of allocations whose stack is whole.
const WHOLE: f64 = 0.995;

/// How many allocations are needed for the share to mean anything.
const ENOUGH: u64 = 20_000;

/// Fails where fewer stacks are whole; and where a stack is said to be whole and its last frame is
/// not one that is called by nobody.
fn check(name: &str, result: &Value) -> Result<()> {
    let unwinding = &result["unwinding"];
    let number = |field: &str| {
        let value = unwinding[field].as_u64();
        value.with_context(|| format!("no {field} in {unwinding}"))
    };
    let (walked, complete) = (number("walked")?, number("complete")?);
    let mut ends = Outermost::default();
    let (mut seen, mut real) = (0, 0);
    for stack in result["stacks"].as_array().context("no stacks")? {
        let count = stack["count"].as_u64().context("no count")?;
        let frames = stack["frames"].as_array().context("no frames")?;
        let last = frames.last().context("no frame")?;
        seen += count;
        if ends.is_one(last)? {
            real += count;
        }
    }
    let share = |part: u64, of: u64| part as f64 / of as f64;
    println!(
        "{name}: {complete} of {walked} stacks are whole, {:.3} %; cut: {}; approximate: {}; \
         {:.3} % of {seen} end in an outermost function",
        share(complete, walked) * 100.0,
        unwinding["cut"],
        unwinding["approximate"],
        share(real, seen) * 100.0,
    );
    ensure!(walked >= ENOUGH, "only {walked} stacks");
    ensure!(share(complete, walked) >= WHOLE, "too few are whole");
    // All of them are in the result, with `--all`, but those whose call gave nothing.
    ensure!(real <= complete, "{real} of {complete} whole stacks");
    ensure!(share(real, seen) >= WHOLE, "too few end as a stack does");
    Ok(())
}

/// Records a command from its first instruction to its end.
fn record(command: &mut Command) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("heap.json");
    let path = output.to_string_lossy();
    let options = ["heap", "--all", "--min-age", "0", "-q", "-o", &path, "--"];
    let mut unfreed = session::unfreed(&options)?;
    unfreed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        unfreed.env(name, value.unwrap_or_default());
    }
    let ended = Session::start(&mut unfreed)?.end()?;
    // 3: some stacks are deeper than is kept, which is counted as a loss.
    ensure!(
        matches!(ended.status.code(), Some(0 | 3)),
        "{}: {}",
        ended.status,
        ended.stderr
    );
    session::read_json(&output)
}

#[test]
fn stacks_of_a_compiler_are_whole() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let source = directory.path().join("source.cc");
    std::fs::write(
        &source,
        "#include <iostream>\n#include <map>\n#include <string>\n\
         int main() { std::map<std::string, int> names; names[\"a\"] = 1;\n\
         for (auto &[name, n] : names) std::cout << name << n; }\n",
    )?;
    let preprocessed = directory.path().join("source.ii");
    let mut preprocess = Command::new("g++");
    succeed(
        preprocess
            .arg("-E")
            .arg(&source)
            .arg("-o")
            .arg(&preprocessed),
    )?;
    // gcc itself only starts this.
    let compiler = Command::new("gcc")
        .arg("-print-prog-name=cc1plus")
        .output()
        .context("asking gcc for its compiler")?;
    let compiler = String::from_utf8(compiler.stdout)?;
    let mut compile = Command::new(compiler.trim());
    compile
        .args(["-quiet", "-O1", "-o", "/dev/null"])
        .arg(&preprocessed);
    check("cc1plus", &record(&mut compile)?)
}

#[test]
fn stacks_of_python_are_whole() -> Result<()> {
    const SCRIPT: &str = "
import collections, json, re
def nested(depth):
    if depth == 0:
        return json.loads(json.dumps({str(i): [i] * 3 for i in range(20)}))
    return sorted([nested(depth - 1)], key=lambda value: len(value))
class Item:
    def __init__(self, n): self.n = n
    def __eq__(self, other): return self.n == other.n
    def __hash__(self): return hash(str(self.n))
for i in range(800):
    nested(i % 10)
    {Item(n) for n in range(20)}
    re.sub('(a+)b', lambda match: match.group(1) * 2, 'aab' * 20)
    list(map(lambda n: n ** 50, range(20)))
    collections.Counter('hello world')
";
    // The distribution's, not one that somebody has built for himself.
    let python = "/usr/bin/python3";
    let missing = "/usr/bin/python3 is missing: apt-get install python3, or cargo xtask setup";
    ensure!(Path::new(python).exists(), missing);
    let mut command = Command::new(python);
    // Its own allocator would make few blocks of the C library's out of many.
    command
        .env("PYTHONMALLOC", "malloc")
        .args(["-E", "-S", "-c", SCRIPT]);
    check("python", &record(&mut command)?)
}

#[test]
fn stacks_of_node_are_whole() -> Result<()> {
    const SCRIPT: &str = "
const kept = [];
function fill(n) { return n === 0 ? Buffer.from('x'.repeat(5000)) : fill(n - 1); }
for (let i = 0; i < 1000; i++) {
  const buffer = fill(i % 30);
  kept[i % 100] = buffer.toString('latin1') + i;
  kept[100 + i % 100] = Buffer.alloc(20000 + i, kept[i % 100]);
}
for (let i = 0; i < 200; i++) {
  JSON.parse(JSON.stringify({ a: kept[i % 50], b: [i, { c: String(i) }] }));
}
";
    let mut command = Command::new("node");
    let found = command.arg("--version").output();
    found.context("node does not run: apt-get install nodejs, or cargo xtask setup")?;
    let mut command = Command::new("node");
    command.args(["-e", SCRIPT]);
    check("node", &record(&mut command)?)
}

#[test]
fn stacks_of_redis_are_whole() -> Result<()> {
    let mut redis = Redis::start()?;
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("heap.json");
    let path = output.to_string_lossy();
    let pid = redis.pid().to_string();
    let unfreed = Session::recording(&[
        "heap",
        "-p",
        &pid,
        "--all",
        "--min-age",
        "0",
        "-q",
        "-o",
        &path,
    ])?;
    redis.fill(0..30_000, |n| 10 + n % 3000)?;
    unfreed.signal(Signal::SIGINT)?;
    let ended = unfreed.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    check("redis", &session::read_json(&output)?)
}
