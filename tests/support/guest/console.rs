//! What init says, on the console that it shares with the kernel's own messages.
//!
//! Lines of init begin with `@@ `. The terminal ends them with a carriage return, too.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use nix::sys::termios;

/// Of longer output the beginning is left out: the end says what went wrong. A console takes about
/// 1 MB a second.
const MOST_LINES: usize = 400;
const MOST_CHARACTERS: usize = 2000;

/// The console.
#[derive(Debug)]
pub struct Console(File);

impl Console {
    /// The one that the kernel opened as init's standard output.
    pub fn of(stdout: BorrowedFd<'_>) -> Result<Self> {
        let file = stdout.try_clone_to_owned().context("the console")?;
        Ok(Self(file.into()))
    }

    /// Writes a line, in one write and up to its last byte, so that the kernel's messages come
    /// between lines.
    pub fn say(&mut self, line: fmt::Arguments<'_>) -> Result<()> {
        let line = format!("@@ {line}\n");
        self.0
            .write_all(line.as_bytes())
            .context("writing to the console")?;
        // Fails where it is not a terminal, and there nothing has to be waited for.
        let _sent = termios::tcdrain(self.0.as_fd());
        Ok(())
    }

    /// Writes lines that are not init's own.
    pub fn quote(&mut self, text: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(text);
        let left_out = text.lines().count().saturating_sub(MOST_LINES);
        if left_out > 0 {
            self.say(format_args!("| ({left_out} lines are left out)"))?;
        }
        text.lines()
            .skip(left_out)
            .try_for_each(|line| self.say(format_args!("| {}", harmless(line))))
    }
}

/// Without characters that a terminal would obey.
fn harmless(line: &str) -> String {
    line.chars()
        .take(MOST_CHARACTERS)
        .map(|character| match character {
            '\t' => ' ',
            _ if character.is_control() => char::REPLACEMENT_CHARACTER,
            _ => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn said(by: impl FnOnce(&mut Console) -> Result<()>) -> String {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut console = Console::of(ours.as_fd()).unwrap();
        drop(ours);
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            theirs.read_to_string(&mut text).unwrap();
            text
        });
        by(&mut console).unwrap();
        drop(console);
        reader.join().unwrap()
    }

    #[test]
    fn every_line_is_marked() {
        let text = said(|console| {
            console.say(format_args!("begin a b"))?;
            console.quote(b"one\n@@ end 1 0\n")
        });
        assert_eq!(text, "@@ begin a b\n@@ | one\n@@ | @@ end 1 0\n");
    }

    #[test]
    fn garbage_does_no_harm() {
        let text = said(|console| console.quote(b"a\x1b[2J\tb\xff\r\n\x00c"));
        assert_eq!(text, "@@ | a\u{fffd}[2J b\u{fffd}\n@@ | \u{fffd}c\n");
    }

    #[test]
    fn of_much_output_the_end_is_said() {
        let lines: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let text = said(|console| console.quote(lines.join("\n").as_bytes()));
        assert!(text.starts_with("@@ | (600 lines are left out)\n@@ | 600\n"));
        assert!(text.ends_with("@@ | 999\n"), "{text}");
    }
}
