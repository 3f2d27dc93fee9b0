//! Runs the whole matrix and prints it as a Markdown table, and one of the pages view. Progress and what
//! is wrong go to stderr. Exits with 1 when anything is wrong.

mod pages;

use std::process::ExitCode;

use unfreed_tests::matrix::{self, Row};

const ABOUT_PAGES: &str = "\
Pages: the faults that the kernel counts (`minflt`), the pages that `unfreed pages` shows in stacks, and by
how much the kernel's resident set (`smaps_rollup`) grew. A tool that counts faults shows the first number
as if it were the last.";

fn line(row: &Row) -> String {
    let Row {
        case,
        ledger,
        elsewhere: _,
        wrong,
        lost,
    } = row;
    let (taken, outstanding) = (ledger.taken(), ledger.outstanding());
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        case.program,
        case.allocator.name(),
        ledger.sites.len(),
        taken.count,
        taken.bytes,
        outstanding.count,
        outstanding.bytes,
        wrong.len(),
        lost
    )
}

fn main() -> ExitCode {
    let rows = matrix::run_all(|case, row| match row {
        Ok(row) if row.wrong.is_empty() => eprintln!("{case}: exact"),
        Ok(row) => eprintln!("{case}: WRONG\n  {}", row.wrong.join("\n  ")),
        Err(error) => eprintln!("{case}: FAILED: {error:#}"),
    });
    println!(
        "| program | allocator | sites | blocks taken | bytes taken | blocks outstanding | bytes outstanding | wrong | lost |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut exact = true;
    for (case, row) in &rows {
        match row {
            Ok(row) => println!("{}", line(row)),
            Err(_) => println!(
                "| {} | {} | | | | | | not run | |",
                case.program,
                case.allocator.name()
            ),
        }
        exact &= row.as_ref().is_ok_and(|row| row.wrong.is_empty());
    }
    println!("\n{ABOUT_PAGES}\n\n{}", pages::HEAD);
    match pages::lines() {
        Ok(lines) => println!("{}", lines.join("\n")),
        Err(error) => {
            eprintln!("pages: FAILED: {error:#}");
            exact = false;
        }
    }
    if exact {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
