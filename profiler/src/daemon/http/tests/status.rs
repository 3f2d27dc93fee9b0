//! A status with something of everything.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::daemon::entry::{Amount, Why};
use crate::daemon::status::{Fired, Health, Process, Running, Sample, Status, Target};

/// A process that grows.
pub fn process(pid: u32, comm: &str, uid: u32) -> Process {
    let samples = (0..60_u64).map(|i| Sample {
        at: Timestamp::from_second(1_772_366_400 + 10 * i as i64).unwrap(),
        rss: (100 << 20) + i * 524_288 + (i % 7) * 90_000,
        vsz: (900 << 20) + i / 20 * (32 << 20),
    });
    let samples: Vec<_> = samples.collect();
    let running = Running {
        attached: true,
        since: Timestamp::from_second(1_772_366_700).unwrap(),
        why: Why::Triggered {
            trigger: "RSS grew by 52.1 MiB in 10 min".to_owned(),
        },
        unfreed: Amount {
            bytes: 29_104_005,
            count: 3024,
        },
        observed: 0.25,
        overhead: Some(0.049),
        losses: BTreeMap::from([("live_full".to_owned(), 3), ("stack_failed".to_owned(), 0)]),
    };
    Process {
        pid,
        comm: comm.to_owned(),
        exe: format!("/srv/{comm}"),
        uid,
        rss: 137_363_456,
        vsz: 1_010_827_264,
        growth: Some(52_428.8),
        samples,
        recordings: BTreeMap::from([("heap".to_owned(), running)]),
        problem: None,
    }
}

/// Two targets, three processes, of root and of the user 65534.
pub fn made_up() -> Status {
    let mut stuck = process(815, "worker", 65534);
    stuck.recordings.clear();
    stuck.samples.clear();
    stuck.growth = Some(-10.0);
    stuck.problem = Some("it has a seccomp filter that ends it at a uretprobe".to_owned());
    Status {
        targets: vec![
            Target {
                name: "shop".to_owned(),
                processes: vec![process(4711, "storefront", 0)],
                fired: vec![Fired {
                    at: Timestamp::from_second(1_772_366_700).unwrap(),
                    pid: 4711,
                    trigger: "RSS grew by 52.1 MiB in 10 min".to_owned(),
                }],
            },
            Target {
                name: "batch".to_owned(),
                processes: vec![stuck, process(1, "init", 0)],
                fired: Vec::new(),
            },
        ],
        health: Health {
            store_problem: None,
            recordings: 3,
            stored_bytes: 1 << 20,
            failed: 2,
            not_stored: 0,
            events_lost: 0,
        },
    }
}
