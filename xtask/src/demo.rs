//! `cargo xtask demo`: a small service leaks, unfreed finds where.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run;
use crate::setup::{self, Scope};

const SOURCE: &str = "tests/demo/leaky.cc";
const LEAK: &str = "SessionCache::remember";
const SECONDS: &str = "5";

/// Installs what is missing, builds, records the service, and checks that its leak was found.
pub fn task() -> Result<()> {
    if !run::is_root() {
        bail!(
            "loading eBPF needs root; run\n  sudo env PATH=\"$PATH\" HOME=\"$HOME\" cargo xtask demo"
        );
    }
    setup::install(Scope::Build)?;
    run::run(run::cargo().args(["build", "--package", "unfreed"]))?;
    let directory = run::root().join("demo");
    fs::create_dir_all(&directory).context("creating demo/")?;
    let service = Service::start(&compile(&directory)?)?;

    run::run(
        run::program(run::debug_binary("unfreed")?)
            .args(["heap", "-p", &service.pid(), "-d", SECONDS])
            .args(["-o", "demo/heap.svg", "-o", "demo/heap.folded", "-o", "-"]),
    )?;
    drop(service);

    let folded =
        fs::read_to_string(directory.join("heap.folded")).context("reading heap.folded")?;
    let share = share(&folded, LEAK).context("demo/heap.folded holds no stack")?;
    println!();
    println!("{LEAK} holds {:.1} % of the unfreed bytes.", share * 100.0);
    println!("The flame graph: {}", directory.join("heap.svg").display());
    ensure!(
        share > 0.5,
        "the service leaks in {LEAK}, and it is not the widest tower"
    );
    Ok(())
}

fn compile(directory: &Path) -> Result<PathBuf> {
    let binary = directory.join("leaky");
    run::run(
        run::program("g++")
            .args([
                "-std=c++17",
                "-O2",
                "-g",
                "-fno-omit-frame-pointer",
                SOURCE,
                "-o",
            ])
            .arg(&binary),
    )?;
    Ok(binary)
}

/// The share of the bytes that is held by stacks with `function` in them; `None` without stacks.
fn share(folded: &str, function: &str) -> Option<f64> {
    let (mut with, mut all) = (0_u64, 0_u64);
    for line in folded.lines() {
        let (stack, bytes) = line.rsplit_once(' ')?;
        let bytes: u64 = bytes.parse().ok()?;
        all += bytes;
        if stack.split(';').any(|frame| frame.contains(function)) {
            with += bytes;
        }
    }
    (all > 0).then(|| with as f64 / all as f64)
}

/// The running demo service; stopped when this is dropped.
struct Service(Child);

impl Service {
    /// Starts it and waits until it serves.
    fn start(binary: &Path) -> Result<Self> {
        let mut command = run::program(binary);
        run::announce(&command);
        let child = command.stdout(Stdio::piped()).spawn();
        let mut service = Self(child.with_context(|| format!("starting {}", binary.display()))?);
        let output = service
            .0
            .stdout
            .as_mut()
            .context("the service has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            line.trim() == "ready",
            "the demo service did not start: {line:?}"
        );
        Ok(service)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Only this child, by its pid. It may be gone already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaks_share_is_of_all_bytes() {
        let folded = "main;a::SessionCache::remember(x);malloc 75\nmain;other;malloc 25\n";
        assert_eq!(share(folded, LEAK), Some(0.75));
        assert_eq!(share("", LEAK), None);
    }
}
