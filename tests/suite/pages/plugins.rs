//! Code that comes and goes: a page is its toucher's, whoever's code is at the same address a moment later.

use anyhow::{Result, ensure};
use unfreed_tests::build;
use unfreed_tests::build::beforehand::PAGES_PLUGINS;

use super::recorded::Setting;

#[test]
fn pages_of_plugins_are_in_no_other_plugins_name() -> Result<()> {
    let [alpha, bravo] = PAGES_PLUGINS.map(build::frameless_library);
    let (alpha, bravo) = (alpha?, bravo?);
    let setting = Setting {
        arguments: &[&alpha.to_string_lossy(), &bravo.to_string_lossy()],
        ..Setting::of("pages_plugins")
    };
    let recorded = setting.record()?;
    let same = recorded.said["same_address"]["rounds"].as_u64();
    ensure!(same > Some(300), "they were at other addresses: {same:?}");
    recorded.is_exact()?;
    recorded.finish()
}
