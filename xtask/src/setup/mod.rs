//! `cargo xtask setup`: finds what is missing, says what it will do, and does it.

mod apt;
mod backports;
mod needs;
mod plan;
mod rustc;

use anyhow::{Result, bail};

use crate::run;
pub use needs::Scope;
use needs::{Machine, Need};
use plan::Plan;

/// Installing some things shows what the next ones are (which LLVM the compiler has); more rounds
/// than this means that an installation does not have the effect it should.
const ROUNDS: usize = 3;

/// The flags of `setup`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only say what is missing; exit with 1 if anything is
    #[arg(long)]
    check: bool,
    /// Only what building needs, nothing for the tests
    #[arg(long)]
    build_only: bool,
}

/// Brings this machine to where everything builds and every test can run.
pub fn task(arguments: &Arguments) -> Result<()> {
    let scope = if arguments.build_only {
        Scope::Build
    } else {
        Scope::Everything
    };
    if arguments.check {
        check(scope)?;
    } else {
        install(scope)?;
    }
    println!("setup: everything is there");
    Ok(())
}

/// Fails, naming each missing thing, unless everything in `scope` is there.
pub fn check(scope: Scope) -> Result<()> {
    let missing = Machine::look(scope).missing();
    if missing.is_empty() {
        return Ok(());
    }
    report(&missing);
    bail!("something is missing; run `cargo xtask setup`");
}

/// Installs what is missing; where that is not possible from here, prints the commands and fails.
pub fn install(scope: Scope) -> Result<()> {
    for _ in 0..ROUNDS {
        let machine = Machine::look(scope);
        let missing = machine.missing();
        if missing.is_empty() {
            return Ok(());
        }
        report(&missing);
        let may_install = run::is_root() && apt::available();
        let mut plan = Plan::of(&machine, &missing);
        if plan.needs_root() && may_install {
            apt::update();
            // The lists may have been empty before: they decide between packages.
            plan = Plan::of(&machine, &missing);
        } else if plan.needs_root() {
            return by_hand(&plan);
        }
        eprintln!("setup: will run\n{plan}");
        plan.execute()?;
    }
    let missing = Machine::look(scope).missing();
    if missing.is_empty() {
        return Ok(());
    }
    report(&missing);
    bail!("still missing after the installation");
}

fn report(missing: &[Need]) {
    eprintln!("setup: missing here");
    for need in missing {
        eprintln!("  - {need}");
    }
}

fn by_hand(plan: &Plan) -> Result<()> {
    eprint!("setup: this needs root on a system with apt. The commands are\n{plan}");
    if !apt::available() {
        eprint!("{}", plan::OTHER_DISTRIBUTIONS);
    }
    bail!("nothing was installed");
}
