//! Libraries that take one another's place.

use std::process::Command;

use anyhow::Result;

use crate::recorded::{Recorded, check_sites};
use crate::toolchain;

#[test]
fn a_library_loaded_at_the_addresses_of_another_has_its_own_names() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let first = directory.path().join("first.so");
    let second = directory.path().join("second.so");
    let program = directory.path().join("mod_loader");
    toolchain::library("mod_reloaded.c", &first, &[])?;
    toolchain::library("mod_reloaded.c", &second, &["-DSECOND"])?;
    toolchain::compile::<&str>("mod_loader.c", &program, &[])?;
    let mut case = Recorded::start(Command::new(&program).arg(&first).arg(&second), &[])?;
    case.work()?;
    let kept = 100 * 1777;
    check_sites(
        &case.stop()?,
        &[("site_first", kept, 100), ("site_second", kept, 100)],
    )
}
