//! The functions that nobody calls: an ELF file's entry point, and what a new thread begins in.
//! Recognized by what they are, not by their names, which stripped files do not have.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The call of the program's main function is one of the first instructions from the entry point on.
const ENTRY_SIZE: u64 = 64;

/// What glibc's `clone` and `clone3` do with what the thread's function returns: `mov %rax,%rdi;
/// mov $SYS_exit,%eax; syscall` (`sysdeps/unix/sysv/linux/x86_64`: `clone.S`, `clone3.S`).
const EXIT_OF_THREAD: [u8; 10] = [0x48, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];

/// Answers by place, so that each is looked at once.
#[derive(Debug, Default)]
pub struct Outermost {
    known: HashMap<(String, u64), bool>,
}

impl Outermost {
    /// Whether the frame is one of such a function.
    pub fn is_one(&mut self, frame: &Value) -> Result<bool> {
        let place = frame["module"].as_str().zip(frame["offset"].as_u64());
        let Some((module, address)) = place.filter(|(module, _)| module.starts_with('/')) else {
            return Ok(false);
        };
        let key = (module.to_owned(), address);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let answer = is_outermost(module, address).with_context(|| format!("reading {module}"))?;
        self.known.insert(key, answer);
        Ok(answer)
    }
}

/// `address`: where a call returns to, as the file's headers count it.
fn is_outermost(module: &str, address: u64) -> Result<bool> {
    let file = File::open(module)?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    ensure!(header.starts_with(b"\x7fELF\x02\x01"), "not an ELF file");
    let entry = word(&header, 24)?;
    if (entry..entry + ENTRY_SIZE).contains(&address) {
        return Ok(true);
    }
    let (table, count) = (word(&header, 32)?, u64::from(header[56]));
    for index in 0..count {
        let mut segment = [0; 56];
        file.read_exact_at(&mut segment, table + index * 56)?;
        let (offset, start, size) = (word(&segment, 8)?, word(&segment, 16)?, word(&segment, 32)?);
        let loaded = segment[0] == 1;
        if loaded && (start..start + size).contains(&address) {
            let mut code = [0; EXIT_OF_THREAD.len()];
            let read = file.read_at(&mut code, address - start + offset)?;
            return Ok(code[..read] == EXIT_OF_THREAD);
        }
    }
    Ok(false)
}

fn word(bytes: &[u8], at: usize) -> Result<u64> {
    let word = bytes.get(at..at + 8).context("too short")?;
    Ok(u64::from_le_bytes(word.try_into()?))
}
