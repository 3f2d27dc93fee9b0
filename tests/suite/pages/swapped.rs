//! Pages that are swapped out, and in again.

use std::ffi::CString;
use std::io::{Error, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, Result, ensure};

use super::recorded::{PAGE, Setting};

/// Swap space in a file, which is there as long as this is.
struct Swap {
    path: CString,
    _file: tempfile::NamedTempFile,
}

impl Swap {
    const PAGES: u64 = 2048;

    /// `None` where the file system, or the kernel, has none; which is said.
    fn on() -> Result<Option<Self>> {
        // Where this program is, and not in /tmp, which may be in memory.
        let exe = std::env::current_exe()?;
        let directory = exe.parent().context("a program in no directory")?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        // `union swap_header`, include/linux/swap.h: the version and the last page behind the boot block,
        // and the magic word at the end of the first page.
        let mut header = vec![0; PAGE as usize];
        header[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
        header[1028..1032].copy_from_slice(&(Self::PAGES as u32 - 1).to_ne_bytes());
        header[PAGE as usize - 10..].copy_from_slice(b"SWAPSPACE2");
        file.write_all(&header)?;
        let rest = vec![0; PAGE as usize];
        for _ in 1..Self::PAGES {
            file.write_all(&rest)?;
        }
        file.as_file().sync_all()?;
        let path = CString::new(file.path().as_os_str().as_bytes())?;
        // SAFETY: the kernel reads the path.
        if unsafe { libc::swapon(path.as_ptr(), 0) } != 0 {
            println!("no swap space here: {}", Error::last_os_error());
            return Ok(None);
        }
        Ok(Some(Self { path, _file: file }))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // SAFETY: the kernel reads the path.
        if unsafe { libc::swapoff(self.path.as_ptr()) } != 0 {
            eprintln!("swapoff: {}", Error::last_os_error());
        }
    }
}

#[test]
fn what_is_swapped_out_is_not_resident_and_who_brings_it_back_has_it() -> Result<()> {
    let Some(_swap) = Swap::on()? else {
        return Ok(());
    };
    let recorded = Setting::of("pages_swapped").record()?;
    let swapped = &recorded.said["swapped"];
    ensure!(swapped["left"] == 0, "not all went out: {swapped}");
    recorded.is_exact()?;
    let out = swapped["out"].as_i64().context("no number")? * PAGE.cast_signed();
    let swap = |when: &str| recorded.reconciled(&[when, "swap"]);
    ensure!(swap("after")? - swap("before")? == out, "not {out} bytes");
    ensure!(
        recorded
            .text
            .contains("swapped out: 0 B before, 600.00 KiB after"),
        "{}",
        recorded.text
    );
    recorded.finish()
}
