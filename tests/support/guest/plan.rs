//! Which tests to run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Where test binaries are.
const BINARIES: &str = "/guest/bin";

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The test binary's name.
    pub binary: String,
    /// The test's name in it.
    pub test: String,
    /// After this time it is killed.
    pub limit: Duration,
}

impl Planned {
    /// From `BINARY<TAB>TEST<TAB>SECONDS`.
    fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split('\t').collect();
        let [binary, test, seconds] = words[..] else {
            anyhow::bail!("{} words", words.len());
        };
        ensure!(!binary.is_empty() && !test.is_empty(), "a name is empty");
        let seconds = seconds.parse().with_context(|| format!("{seconds:?}"))?;
        Ok(Self {
            binary: binary.to_owned(),
            test: test.to_owned(),
            limit: Duration::from_secs(seconds),
        })
    }

    /// The test binary.
    pub fn path(&self) -> PathBuf {
        Path::new(BINARIES).join(&self.binary)
    }
}

/// As on the console.
impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.binary, self.test)
    }
}

/// The tests of a plan's text, in its order. An error when it has none.
pub fn parse(text: &str) -> Result<Vec<Planned>> {
    let tests = text
        .lines()
        .map(|line| {
            Planned::parse(line)
                .with_context(|| format!("the plan's line {line:?} is not BINARY, TEST, SECONDS"))
        })
        .collect::<Result<Vec<_>>>()?;
    ensure!(!tests.is_empty(), "the plan has no tests");
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_test() {
        let plan = parse("suite\theap_matrix::a\t60\nguest\trefused::b\t5\n").unwrap();
        assert_eq!(
            plan[1],
            Planned {
                binary: "guest".to_owned(),
                test: "refused::b".to_owned(),
                limit: Duration::from_secs(5),
            }
        );
        assert_eq!(plan[0].to_string(), "suite heap_matrix::a");
        assert_eq!(plan[0].path(), Path::new("/guest/bin/suite"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for line in ["", "suite\ta", "suite\ta\tsoon", "suite\t\t5", "a\tb\t1\t2"] {
            let error = format!("{:#}", parse(&format!("{line}\n")).unwrap_err());
            assert!(error.contains(&format!("{line:?}")), "{error}");
        }
        assert!(parse("").is_err());
    }
}
