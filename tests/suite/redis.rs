//! A program that nobody here wrote.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use unfreed_tests::redis::Redis;
use unfreed_tests::unfreed::Unfreed;

use crate::pages::mixed::share;
use crate::session::{self, Session};

const KEYS: usize = 200_000;

/// redis counts what jemalloc sets aside for a block, unfreed what redis asked for. Values a few
/// bytes below jemalloc's size classes make the two comparable: a string takes 6 bytes besides
/// its text (a header of 5, a final zero).
fn value_size(n: usize) -> usize {
    const CLASSES: [usize; 7] = [512, 768, 1024, 1280, 1536, 1792, 2048];
    CLASSES[n % CLASSES.len()] - 6 - (n % 5)
}

#[test]
fn heap_of_redis_agrees_with_its_own_account() {
    let mut redis = Redis::start().unwrap();
    // What the first commands need once, such as the connection's buffers.
    redis.fill(0..1000, value_size).unwrap();
    let unfreed = Unfreed::heap(redis.pid(), &[]).unwrap();
    let before = redis.used_memory().unwrap();
    redis.fill(1000..1000 + KEYS, value_size).unwrap();
    let after = redis.used_memory().unwrap();
    let recording = unfreed.stop().unwrap();
    let report = &recording.report;

    let expected = after - before;
    let got = report.totals.unfreed.bytes;
    let difference = got.abs_diff(expected) as f64 / expected as f64;
    println!(
        "redis: used_memory grew by {expected}, unfreed {got}, difference {:.3} %",
        difference * 100.0
    );
    assert!(expected > 200_000_000, "redis kept only {expected} bytes");
    assert!(difference < 0.02, "redis says {expected}, unfreed {got}");
    assert_eq!(report.lost().collect::<Vec<_>>(), []);

    let tower = &report.stacks[0].frames;
    let own = tower.iter().any(|frame| {
        frame
            .module
            .as_deref()
            .is_some_and(|module| module.contains("/redis-"))
    });
    assert!(own, "the tower does not pass through redis: {tower:?}");
    assert!(
        redis.used_memory().is_ok(),
        "redis does not answer any more"
    );
}

/// The resident set by redis's own account, which it looks at ten times a second: when it stays the same.
fn settled(redis: &mut Redis) -> Result<u64> {
    let mut last = (0, 0);
    for _ in 0..200 {
        let now = redis.memory("used_memory_rss")?;
        last = if now == last.0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        if last.1 == 6 {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("redis's memory does not settle: {}", last.0)
}

#[test]
fn growth_of_redis_is_explained() -> Result<()> {
    const KEYS: usize = 100_000;
    let mut redis = Redis::start()?;
    redis.fill(0..1000, |_| 1000)?;
    let directory = tempfile::tempdir()?;
    let json = directory.path().join("redis.json");
    let (pid, path) = (redis.pid().to_string(), json.to_string_lossy());
    let before = settled(&mut redis)?;
    let unfreed = Session::recording(&["pages", "-p", &pid, "-q", "-o", &path])?;
    redis.fill(1000..1000 + KEYS, |n| 100 + n % 2000)?;
    // Some of it is given back.
    redis.fill(1000..1000 + KEYS / 10, |_| 10)?;
    let after = settled(&mut redis)?;
    unfreed.signal(Signal::SIGINT)?;
    let ended = unfreed.end()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let result = session::read_json(&json)?;
    let grew = result["reconciliation"]["rss_grew"]
        .as_f64()
        .context("no growth")?;
    let redis_says = after as f64 - before as f64;
    println!(
        "redis: RSS grew by {grew}, by redis's own account {redis_says}; {:.4} of it is explained",
        share(&result)?
    );
    ensure!(grew > 100e6, "redis grew by {grew} only");
    ensure!(
        (grew / redis_says - 1.0).abs() < 0.02,
        "{grew}, {redis_says}"
    );
    ensure!(
        redis.used_memory().is_ok(),
        "redis does not answer any more"
    );
    Ok(())
}
