//! What a test must not leave behind: a damaged kernel, processes, eBPF objects.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::kernel_log::{KernelLog, tainted};
use super::processes;
use crate::objects::{self, Object};

/// For processes that were told to end, such as children of a killed parent.
const ENDING: Duration = Duration::from_secs(5);

/// For the kernel to free what nothing refers to any more: it takes some grace periods.
const FREEING: Duration = Duration::from_secs(20);

/// The machine before a test.
#[derive(Debug)]
pub struct Before {
    tainted: u64,
    objects: BTreeSet<Object>,
    log: KernelLog,
}

impl Before {
    /// As it is now.
    pub fn now() -> Result<Self> {
        Ok(Self {
            tainted: tainted()?,
            objects: objects::loaded()?,
            log: KernelLog::from_now()?,
        })
    }

    /// What the test left behind, as sentences. Processes are killed, so that the next test finds none.
    pub fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let stray = processes::stray(ENDING)?;
        if !stray.is_empty() {
            left.push(format!("processes are left: {}", stray.join(", ")));
            processes::kill_all()?;
        }
        let objects = self.objects_left()?;
        if !objects.is_empty() {
            let objects: Vec<String> = objects.iter().map(Object::to_string).collect();
            left.push(format!(
                "eBPF objects are left after {FREEING:?}: {}",
                objects.join(", ")
            ));
        }
        let new = tainted()? & !self.tainted;
        if new != 0 {
            left.push(format!(
                "the kernel is tainted by {new} (512 is a warning, 128 an oops)"
            ));
        }
        Ok(left)
    }

    /// What the kernel said since.
    pub fn messages(&mut self) -> Result<String> {
        self.log.messages()
    }

    fn objects_left(&self) -> Result<BTreeSet<Object>> {
        let start = Instant::now();
        loop {
            let left = &objects::loaded()? - &self.objects;
            if left.is_empty() || start.elapsed() > FREEING {
                return Ok(left);
            }
            std::thread::sleep(processes::INTERVAL);
        }
    }
}
