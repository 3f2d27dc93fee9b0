//! `tests/kernels.toml`: which kernels, which guests boot them, and which tests run in each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::run;

/// Where the table is, from the workspace's root.
pub const PATH: &str = "tests/kernels.toml";

/// The whole file. What names something else in it has been checked to exist.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Selections of tests by name; see [`super::select`] for what an entry means.
    pub tests: BTreeMap<String, Vec<String>>,
    /// What can be fetched.
    #[serde(rename = "kernel")]
    pub kernels: Vec<Kernel>,
    /// What can be booted.
    #[serde(rename = "guest")]
    pub guests: Vec<Guest>,
}

/// A kernel in Debian's archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// What `--kernel` takes.
    pub name: String,
    /// The Debian suite that carries it.
    pub suite: String,
    /// The package to begin at; what it depends on is followed to the package with the kernel.
    pub package: String,
}

/// One boot of a kernel with one plan of tests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// What `--kernel` takes, too.
    pub name: String,
    /// The name of its kernel.
    pub kernel: String,
    /// Virtual processors.
    pub cpus: u32,
    /// In qemu's words, such as `1G`.
    pub memory: String,
    /// More of the kernel's command line.
    #[serde(default)]
    pub append: String,
    /// The selections that `--all` runs and tests by name are chosen from.
    pub all: Vec<String>,
    /// The selections that run by default; none: the guest is not booted then.
    #[serde(default)]
    pub quick: Vec<String>,
    /// Seconds that each test may take.
    #[serde(default = "usual_limit")]
    pub limit: u64,
    /// More programs of this machine that the tests start.
    #[serde(default)]
    pub programs: Vec<String>,
    /// What cannot pass in it.
    #[serde(default)]
    pub lacks: Vec<Lack>,
}

/// Tests that cannot pass in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lack {
    /// Entries as in a selection.
    pub tests: Vec<String>,
    /// Shown with each skipped test, and in docs/kernels.md.
    pub why: String,
}

/// The emulator is some twenty times slower than the machine, and several guests share it.
fn usual_limit() -> u64 {
    300
}

impl Table {
    /// Reads the file.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(run::root().join(PATH))
            .with_context(|| format!("reading {PATH}"))?;
        Self::parse(&text).context(PATH)
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Self = toml::from_str(text)?;
        let mut names = BTreeSet::new();
        for kernel in &table.kernels {
            ensure!(
                names.insert(&kernel.name),
                "two kernels are called {}",
                kernel.name
            );
        }
        let mut names = BTreeSet::new();
        for guest in &table.guests {
            let name = &guest.name;
            ensure!(names.insert(name), "two guests are called {name}");
            table.kernel(guest)?;
            for selection in guest.all.iter().chain(&guest.quick) {
                ensure!(
                    table.tests.contains_key(selection),
                    "guest {name}: [tests] has no selection `{selection}`"
                );
            }
        }
        Ok(table)
    }

    /// The kernel that a guest boots.
    pub fn kernel(&self, guest: &Guest) -> Result<&Kernel> {
        let named = self.kernels.iter().find(|k| k.name == guest.kernel);
        named.with_context(|| format!("guest {}: there is no kernel {}", guest.name, guest.kernel))
    }

    /// The guests with one of these names, and those of the kernels with one of these names, in the
    /// table's order. `all`, or no name, is every guest.
    pub fn guests(&self, names: &[String]) -> Result<Vec<&Guest>> {
        let called =
            |guest: &Guest, name: &str| name == "all" || name == guest.name || name == guest.kernel;
        for name in names {
            if !self.guests.iter().any(|guest| called(guest, name)) {
                let exist: Vec<_> = self.guests.iter().map(|g| g.name.as_str()).collect();
                bail!(
                    "no kernel and no guest is called `{name}`; {PATH} has {}",
                    exist.join(", ")
                );
            }
        }
        let wanted =
            |guest: &&Guest| names.is_empty() || names.iter().any(|name| called(guest, name));
        Ok(self.guests.iter().filter(wanted).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        [tests]
        all = ["suite::"]
        [[kernel]]
        name = "6.1"
        suite = "bookworm-security"
        package = "linux-image-cloud-amd64"
        [[guest]]
        name = "6.1"
        kernel = "6.1"
        cpus = 2
        memory = "1G"
        all = ["all"]
        [[guest]]
        name = "6.1-many"
        kernel = "6.1"
        cpus = 4
        memory = "2G"
        append = "preempt=full"
        all = ["all"]
        quick = ["all"]
        limit = 20
        programs = ["bpftrace"]
        [[guest.lacks]]
        tests = ["suite::a::"]
        why = "no way"
    "#;

    fn names(table: &Table, wanted: &[&str]) -> Result<Vec<String>> {
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        let guests = table.guests(&wanted)?;
        Ok(guests.into_iter().map(|guest| guest.name.clone()).collect())
    }

    #[test]
    fn the_file_that_is_used_can_be_read() {
        let table = Table::read().unwrap();
        assert!(!table.guests(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let table = Table::parse(SMALL).unwrap();
        let [plain, many] = &table.guests[..] else {
            panic!("{table:?}");
        };
        assert_eq!((plain.limit, plain.append.as_str()), (300, ""));
        assert_eq!((plain.quick.len(), plain.lacks.len()), (0, 0));
        assert_eq!(
            (many.limit, many.quick.as_slice()),
            (20, &["all".to_owned()][..])
        );
        assert_eq!(many.lacks[0].why, "no way");
        assert_eq!(table.kernel(many).unwrap().suite, "bookworm-security");
    }

    #[test]
    fn a_kernels_name_is_all_its_guests() {
        let table = Table::parse(SMALL).unwrap();
        let both = ["6.1".to_owned(), "6.1-many".to_owned()];
        assert_eq!(names(&table, &["6.1"]).unwrap(), both);
        assert_eq!(names(&table, &[]).unwrap(), both);
        assert_eq!(names(&table, &["all"]).unwrap(), both);
        assert_eq!(names(&table, &["6.1-many"]).unwrap(), ["6.1-many"]);
    }

    #[test]
    fn an_unknown_name_lists_those_there_are() {
        let table = Table::parse(SMALL).unwrap();
        let error = names(&table, &["6.1", "4.4"]).unwrap_err().to_string();
        assert!(error.contains("`4.4`"), "{error}");
        assert!(error.contains("6.1, 6.1-many"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, words) in [
            (
                "quick = [\"all\"]",
                "quick = [\"fast\"]",
                "guest 6.1-many: [tests] has no selection `fast`",
            ),
            ("limit = 20", "limits = 20", "unknown field `limits`"),
            (
                "name = \"6.1-many\"",
                "name = \"6.1\"",
                "two guests are called 6.1",
            ),
            ("why = \"no way\"", "", "missing field `why`"),
            (
                "kernel = \"6.1\"\n        cpus = 4",
                "kernel = \"7\"\n        cpus = 4",
                "there is no kernel 7",
            ),
        ] {
            let text = SMALL.replace(from, to);
            assert_ne!(text, SMALL, "{from}");
            let error = format!("{:#}", Table::parse(&text).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
