//! The systemd unit: judged by systemd's own tools, and its privileges by recording with exactly those.

pub mod filter;
mod privileges;
pub mod unit;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use unit::Unit;

/// The most exposure that is granted, in systemd's tenths: 0 is none, 100 is all.
const MOST_EXPOSURE: u32 = 40;

#[test]
fn the_unit_is_exposed_little() -> Result<()> {
    let exposure = exposure(&Unit::packaged()?)?;
    ensure!(
        exposure <= MOST_EXPOSURE,
        "systemd-analyze security: exposure {exposure} of 100, more than {MOST_EXPOSURE}"
    );
    Ok(())
}

#[test]
fn an_old_kernels_drop_in_does_not_undo_that() -> Result<()> {
    let unit = Unit::packaged()?;
    // What a drop-in says comes after the unit.
    let with = Unit::new(format!("{}\n{}", unit.text, Unit::old_kernels()?));
    let exposure = exposure(&with)?;
    ensure!(exposure <= MOST_EXPOSURE, "exposure {exposure} of 100");
    Ok(())
}

#[test]
fn without_its_settings_the_unit_would_be_exposed() -> Result<()> {
    let bare = Unit::new("[Service]\nExecStart=/usr/bin/unfreed daemon\n".to_owned());
    let exposure = exposure(&bare)?;
    ensure!(
        exposure > 90,
        "exposure {exposure} of 100: what is measured?"
    );
    Ok(())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() -> Result<()> {
    let unit = Unit::packaged()?;
    let said = verify(&unit, None)?;
    ensure!(said.is_empty(), "systemd-analyze verify: {said}");
    let said = verify(&unit, Some(&Unit::old_kernels()?))?;
    ensure!(said.is_empty(), "with the drop-in: {said}");
    let misspelt = Unit::new(unit.text.replace("\nUMask=", "\nUmask="));
    ensure!(
        !verify(&misspelt, None)?.is_empty(),
        "a misspelt setting was not found"
    );
    Ok(())
}

#[test]
fn no_target_can_be_ended_or_changed() -> Result<()> {
    let unit = Unit::packaged()?;
    ensure!(
        unit.one("User")? == "unfreed",
        "a user of its own, so that signals reach its workers only"
    );
    for name in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        for capability in unit.words(name) {
            ensure!(
                !["CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_FOWNER"].contains(&capability),
                "{name} has {capability}"
            );
        }
    }
    let calls = unit.system_calls()?;
    for needed in [
        "bpf",
        "perf_event_open",
        "pidfd_open",
        "migrate_pages",
        "kill",
        "clone3",
    ] {
        ensure!(calls.contains(needed), "{needed} is filtered out");
    }
    for refused in [
        "ptrace",
        "process_vm_writev",
        "process_madvise",
        "pidfd_getfd",
        "setns",
        "mount",
        "init_module",
    ] {
        ensure!(!calls.contains(refused), "{refused} is not filtered out");
    }
    Ok(())
}

#[test]
fn the_unit_starts_what_the_package_installs() -> Result<()> {
    let unit = Unit::packaged()?;
    let start = unit.one("ExecStart")?;
    ensure!(
        start == "/usr/bin/unfreed daemon --config /etc/unfreed/config.toml",
        "{start}"
    );
    ensure!(unit.one("Type")? == "notify");
    let group = unit.one("Group")?;
    let made = Unit::sysusers()?;
    ensure!(
        made.lines()
            .any(|line| line.starts_with(&format!("u {group} "))),
        "no user and group {group} in: {made}"
    );
    Ok(())
}

/// How exposed systemd thinks that a unit is, in tenths.
fn exposure(unit: &Unit) -> Result<u32> {
    let directory = tempfile::tempdir()?;
    let path = unit.write(directory.path(), "/usr/bin/unfreed")?;
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(path)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("running systemd-analyze (cargo xtask setup installs it)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let level = said
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for unfreed.service: "))
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .with_context(|| format!("no exposure in: {said}{errors}"))?;
    let tenths = level.replace('.', "");
    tenths
        .parse()
        .with_context(|| format!("exposure {level:?}"))
}

/// What `systemd-analyze verify` has to say; nothing when all is well.
fn verify(unit: &Unit, drop_in: Option<&str>) -> Result<String> {
    let directory = tempfile::tempdir()?;
    // It wants the program to be there; any other does.
    let path = unit.write(directory.path(), "/bin/true")?;
    if let Some(text) = drop_in {
        let place = directory.path().join("unfreed.service.d");
        std::fs::create_dir(&place)?;
        std::fs::write(place.join("old-kernels.conf"), text)?;
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(path)
        .output()
        .context("running systemd-analyze (cargo xtask setup installs it)")?;
    let said = [output.stdout, output.stderr].concat();
    let mut said = String::from_utf8_lossy(&said).trim().to_owned();
    if !output.status.success() {
        said.push_str(&output.status.to_string());
    }
    Ok(said)
}
