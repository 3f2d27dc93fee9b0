//! `cargo xtask accuracy`: measures unfreed against programs that keep their own ledger, and puts
//! the table into docs/accuracy.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::setup::{self, Scope};

const DOCUMENT: &str = "docs/accuracy.md";
const BEGIN: &str = "<!-- begin: cargo xtask accuracy -->";
const END: &str = "<!-- end: cargo xtask accuracy -->";

/// The document as it begins its life; what is outside the marks is written by hand.
const FRESH: &str = "# Accuracy

Every program here counts, for each place in its code, what it took and gave back. The table
compares that ledger with what unfreed reported. `cargo xtask accuracy` produces it.

<!-- begin: cargo xtask accuracy -->
<!-- end: cargo xtask accuracy -->
";

/// Runs the whole matrix. The table is written even when a row is wrong; the task then fails.
pub fn task() -> Result<()> {
    setup::check(Scope::Everything)?;
    run::build_debug()?;
    let mut command = run::program(run::debug_binary("accuracy")?);
    run::announce(&command);
    let matrix = run::output(command.stderr(Stdio::inherit()))?;
    let table = String::from_utf8(matrix.stdout).context("reading the table")?;
    ensure!(!table.trim().is_empty(), "no table: {}", matrix.status);

    let path = run::root().join(DOCUMENT);
    let document = if path.exists() {
        fs::read_to_string(&path).with_context(|| format!("reading {DOCUMENT}"))?
    } else {
        FRESH.to_owned()
    };
    let document = with_table(&document, &table)
        .with_context(|| format!("{DOCUMENT} has lost its marks {BEGIN} and {END}"))?;
    fs::create_dir_all(run::root().join("docs")).context("creating docs/")?;
    fs::write(&path, document).with_context(|| format!("writing {DOCUMENT}"))?;
    print!("{table}");
    ensure!(matrix.status.success(), "not everything is exact");
    println!("accuracy: {DOCUMENT} is written");
    Ok(())
}

/// The document with the table between its marks; `None` if a mark is missing.
fn with_table(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        table.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let first = with_table(&format!("{FRESH}\nBy hand.\n"), "| a |\n").unwrap();
        let second = with_table(&first, "| b |\n").unwrap();
        assert!(first.contains("-->\n\n| a |\n\n<!--"));
        assert!(first.ends_with("\nBy hand.\n"));
        assert_eq!(second, first.replace("| a |", "| b |"));
        assert_eq!(with_table("no marks", "| a |"), None);
    }
}
