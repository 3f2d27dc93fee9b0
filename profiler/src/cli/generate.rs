//! `unfreed generate`: what packages need to know of the command line, written by the command line itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::Cli;

/// The shells, of those that clap knows, with a completion.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Write man pages or completions, for packages.
#[derive(Debug, Args)]
pub struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A man page for the command and one for each subcommand
    Man {
        /// Where to; made if it is not there
        directory: PathBuf,
    },
    /// Completions for bash, zsh and fish
    Completions {
        /// Where to; made if it is not there
        directory: PathBuf,
    },
}

impl Generate {
    /// Writes them. Files that are there are replaced.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Man { directory } => man(&directory)?,
            What::Completions { directory } => completions(&directory)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn man(directory: &Path) -> anyhow::Result<()> {
    make(directory)?;
    clap_mangen::generate_to(shown(), directory)
        .with_context(|| format!("writing man pages to {}", directory.display()))
}

fn completions(directory: &Path) -> anyhow::Result<()> {
    make(directory)?;
    let mut command = shown();
    let name = command.get_name().to_owned();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, &name, directory).with_context(|| {
            format!(
                "writing a completion for {shell} to {}",
                directory.display()
            )
        })?;
    }
    Ok(())
}

fn make(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("making the directory {}", directory.display()))
}

/// The command line without what is hidden: the generators would show some of that.
fn shown() -> Command {
    let whole = Cli::command();
    let hidden = |command: &&Command| !command.is_hide_set();
    let subcommands: Vec<Command> = whole.get_subcommands().filter(hidden).cloned().collect();
    let mut command = Command::new("unfreed")
        .about(whole.get_about().cloned().unwrap_or_default())
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        // `unfreed help heap` works; a page of its own would say no more than `unfreed heap --help`.
        .disable_help_subcommand(true)
        .subcommands(subcommands);
    if let Some(after) = whole.get_after_help() {
        command = command.after_help(after.clone());
    }
    command
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Write as _;
    use std::process::Stdio;

    use super::*;

    fn names(directory: &Path) -> BTreeSet<String> {
        fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Names of the subcommands that a user sees, as a user sees them.
    fn subcommands() -> Vec<String> {
        let whole = Cli::command();
        let visible = whole.get_subcommands().filter(|sub| !sub.is_hide_set());
        visible.map(|sub| sub.get_name().to_owned()).collect()
    }

    /// What `man` has to say of a page, and the page as it shows it.
    fn shown_by_man(page: &Path) -> (String, String) {
        let mut man = std::process::Command::new("man")
            .args(["--warnings", "--encoding=UTF-8", "--local-file", "-"])
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "100")
            .env("MAN_KEEP_FORMATTING", "")
            // by standard input, as root's `man` reads files as another user
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("man can be run (cargo xtask setup installs it)");
        let mut input = man.stdin.take().unwrap();
        input.write_all(&fs::read(page).unwrap()).unwrap();
        drop(input);
        let output = man.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", page.display());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stderr), text(output.stdout))
    }

    #[test]
    fn every_subcommand_has_a_page_that_man_reads_without_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        man(directory.path()).unwrap();
        let subcommands = subcommands();
        assert!(subcommands.contains(&"heap".to_owned()), "{subcommands:?}");
        let mut expected: BTreeSet<String> = subcommands
            .iter()
            .map(|name| format!("unfreed-{name}.1"))
            .collect();
        expected.insert("unfreed.1".to_owned());
        assert_eq!(names(directory.path()), expected);
        for name in &expected {
            let (warnings, text) = shown_by_man(&directory.path().join(name));
            assert_eq!(warnings, "", "{name}");
            assert!(text.contains("SYNOPSIS"), "{name}: {text}");
            assert!(text.contains("OPTIONS"), "{name}: {text}");
        }
        let (_, heap) = shown_by_man(&directory.path().join("unfreed-heap.1"));
        assert!(heap.contains("--max-overhead"), "{heap}");
        let (_, top) = shown_by_man(&directory.path().join("unfreed.1"));
        assert!(top.contains("unfreed-heap(1)"), "{top}");
        assert!(top.contains("Exit status"), "{top}");
    }

    #[test]
    fn completions_have_every_subcommand_and_nothing_hidden() {
        let directory = tempfile::tempdir().unwrap();
        completions(directory.path()).unwrap();
        let expected = ["_unfreed", "unfreed.bash", "unfreed.fish"];
        assert_eq!(names(directory.path()), expected.map(str::to_owned).into());
        let whole = Cli::command();
        let hidden: Vec<&Command> = whole
            .get_subcommands()
            .filter(|sub| sub.is_hide_set())
            .collect();
        assert!(!hidden.is_empty());
        for file in expected {
            let text = fs::read_to_string(directory.path().join(file)).unwrap();
            for name in subcommands() {
                assert!(text.contains(&name), "{file} lacks {name}");
            }
            for hidden in &hidden {
                let name = hidden.get_name();
                assert!(!text.contains(name), "{file} shows {name}");
            }
        }
    }

    #[test]
    fn bash_takes_its_completion_and_offers_the_subcommands() {
        let directory = tempfile::tempdir().unwrap();
        completions(directory.path()).unwrap();
        let script = "source \"$1\"; COMP_WORDS=(unfreed pag); COMP_CWORD=1; \
                      _unfreed unfreed pag unfreed; echo \"${COMPREPLY[@]}\"";
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", script, "bash"])
            .arg(directory.path().join("unfreed.bash"))
            .output()
            .unwrap();
        let offered = String::from_utf8(output.stdout).unwrap();
        assert_eq!(offered.trim(), "pages", "{:?}", output.stderr);
    }

    #[test]
    fn a_place_that_is_no_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = format!("{:#}", man(file.path()).unwrap_err());
        assert!(
            error.contains(&file.path().display().to_string()),
            "{error}"
        );
        completions(file.path()).unwrap_err();
    }
}
