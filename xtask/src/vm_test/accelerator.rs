//! Whether the guests run on KVM: where it is there it need not work, as in some nested machines.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::time::Duration;

use anyhow::Result;

use super::fetch::Fetched;
use super::guest;
use super::image::Base;
use super::qemu::{self, Accelerator};
use super::select::Plan;

const KVM: &str = "/dev/kvm";

/// Many times what a boot takes, even on the software emulator.
const TRIAL: Duration = Duration::from_secs(15);

/// What the user wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// KVM where a guest boots with it, else the software emulator
    #[default]
    Auto,
    /// The software emulator
    Tcg,
    /// KVM, untried
    Kvm,
}

/// Decides, by a boot of the plan's guest with an init that has nothing to do.
pub fn choose(
    choice: Choice,
    plan: &Plan,
    kernels: &BTreeMap<String, Fetched>,
    base: &Base,
) -> Result<Accelerator> {
    match choice {
        Choice::Tcg => return Ok(Accelerator::Tcg),
        Choice::Kvm => return Ok(Accelerator::Kvm),
        Choice::Auto => {}
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open(KVM) {
        println!("vm-test: no KVM: {KVM}: {error}");
        return Ok(Accelerator::Tcg);
    }
    let vmlinuz = &kernels[&plan.kernel.name].vmlinuz;
    let command = qemu::command(plan.guest, vmlinuz, base.archive(), Accelerator::Kvm);
    if guest::boots(command, TRIAL)? {
        return Ok(Accelerator::Kvm);
    }
    println!(
        "vm-test: no KVM: {KVM} is there, but no guest boots with it within {} s",
        TRIAL.as_secs()
    );
    Ok(Accelerator::Tcg)
}
