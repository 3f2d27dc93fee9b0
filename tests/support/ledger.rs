//! What a test program says it allocated.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Bytes by requested size, and how many blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Weight {
    /// Requested bytes.
    pub bytes: u64,
    /// Blocks.
    pub count: u64,
}

impl Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            count: self.count + other.count,
        }
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} blocks", self.bytes, self.count)
    }
}

/// One call site of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Site {
    /// All that it took.
    pub taken: Weight,
    /// What of that was given back.
    pub given_back: Weight,
    /// What was not.
    pub outstanding: Weight,
}

/// The line of JSON that a program prints after its workload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ledger {
    /// By the site's function name.
    pub sites: BTreeMap<String, Site>,
}

impl Ledger {
    /// Reads the line and checks that its numbers agree with each other.
    pub fn parse(line: &str) -> Result<Self> {
        let ledger: Self =
            serde_json::from_str(line).with_context(|| format!("not a ledger: {line:?}"))?;
        for (name, site) in &ledger.sites {
            ensure!(
                site.given_back + site.outstanding == site.taken,
                "the ledger of {name} is inconsistent: {site:?}"
            );
        }
        Ok(ledger)
    }

    /// All sites together.
    pub fn taken(&self) -> Weight {
        self.sites
            .values()
            .fold(Weight::default(), |sum, site| sum + site.taken)
    }

    /// All sites together.
    pub fn outstanding(&self) -> Weight {
        self.sites
            .values()
            .fold(Weight::default(), |sum, site| sum + site.outstanding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_contradicts_itself_is_refused() {
        let line = |given| {
            format!(
                r#"{{"sites":{{"site_a":{{"taken":{{"bytes":5,"count":2}},"given_back":{{"bytes":{given},"count":1}},"outstanding":{{"bytes":2,"count":1}}}}}}}}"#
            )
        };
        assert_eq!(
            Ledger::parse(&line(3)).unwrap().outstanding(),
            Weight { bytes: 2, count: 1 }
        );
        assert!(
            Ledger::parse(&line(4))
                .unwrap_err()
                .to_string()
                .contains("site_a")
        );
    }
}
