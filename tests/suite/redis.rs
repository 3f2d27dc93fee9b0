//! A program that nobody here wrote.

use unfreed_tests::redis::Redis;
use unfreed_tests::unfreed::Unfreed;

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
