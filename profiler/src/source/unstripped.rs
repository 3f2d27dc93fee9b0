//! The symbols of a stripped executable, from a copy of it that has them.

use std::path::Path;

use anyhow::{Context as _, bail};
use object::{Object as _, ObjectSection as _};

/// An unstripped copy of the target's executable.
pub struct Unstripped {
    /// Path of the executable, as the process sees it.
    exe: String,
    copy: Vec<u8>,
}

impl Unstripped {
    /// Reads the file at `path`, the executable `exe` of the target with its symbols.
    pub fn read(path: &Path, exe: &str) -> anyhow::Result<Self> {
        let using = || format!("using --allocator {}", path.display());
        let copy = std::fs::read(path).with_context(using)?;
        object::File::parse(&*copy)
            .context("it is not an ELF file")
            .with_context(using)?;
        Ok(Self {
            exe: exe.to_owned(),
            copy,
        })
    }

    /// The bytes in which to look for the functions of the module at `path`: the copy's for the
    /// executable. Fails when the copy is of another program: its addresses would be wrong, and a
    /// probe in the middle of an instruction breaks the target.
    pub fn instead_of<'a>(&'a self, path: &str, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        if path != self.exe {
            return Ok(bytes);
        }
        if text(bytes)? != text(&self.copy)? {
            bail!(
                "the file given with --allocator is not an unstripped copy of {path}: their code \
                 differs; give the file from the same build"
            );
        }
        Ok(&self.copy)
    }
}

/// The code and its address.
fn text(elf: &[u8]) -> anyhow::Result<(u64, &[u8])> {
    let file = object::File::parse(elf).context("it is not an ELF file")?;
    let text = file
        .section_by_name(".text")
        .context("it has no section .text")?;
    let data = text.data().context("its section .text is damaged")?;
    Ok((text.address(), data))
}
