//! Everything at random: the sums, and the share that is explained.

use anyhow::{Context as _, Result, ensure};

use super::recorded::Setting;

/// Steps of one run: with more of them a run takes seconds.
const STEPS: &str = "600";

/// The share of anonymous memory that is explained, which is nearly all of it.
pub fn share(result: &serde_json::Value) -> Result<f64> {
    let share = &result["reconciliation"]["explained_share_of_anonymous"];
    let share = share.as_f64().context("no share")?;
    ensure!(
        (0.99..=1.01).contains(&share),
        "{share} of anonymous memory is explained: {}",
        result["reconciliation"]
    );
    Ok(share)
}

#[test]
fn of_pages_that_come_and_go_at_random_each_is_its_last_touchers() -> Result<()> {
    for seed in 1..=5 {
        let seed = seed.to_string();
        let setting = Setting {
            arguments: &[&seed, STEPS],
            ..Setting::of("pages_mixed")
        };
        let recorded = setting.record()?;
        recorded
            .is_exact()
            .with_context(|| format!("with the seed {seed}"))?;
        println!("seed {seed}: {:.4} is explained", share(&recorded.result)?);
        recorded.finish()?;
    }
    Ok(())
}
