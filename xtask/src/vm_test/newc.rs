//! The archive format of an initramfs, cpio's "newc" (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Each member is a header of ASCII hexadecimal numbers, its path, and its content, each part padded
//! to 4 bytes. The kernel unpacks several archives that follow one another into the same tree.

use std::io::{self, Write};
use std::path::Path;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// The path that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Writes one archive; a directory must come before what is in it.
pub struct Archive<W> {
    out: W,
    members: u32,
}

impl<W: Write> Archive<W> {
    /// An archive without members.
    pub fn new(out: W) -> Self {
        Self { out, members: 0 }
    }

    /// A directory that everybody may read.
    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        self.member(name(path), DIRECTORY | 0o755, (0, 0), &[])
    }

    /// A file; of `mode` the permissions count.
    pub fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        self.member(name(path), FILE | (mode & 0o777), (0, 0), content)
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let target = target.as_os_str().as_encoded_bytes();
        self.member(name(path), SYMLINK | 0o777, (0, 0), target)
    }

    /// A character device's node, for root only.
    pub fn device(&mut self, path: &Path, major: u32, minor: u32) -> io::Result<()> {
        self.member(name(path), CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// Ends the archive and returns what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.member(TRAILER, 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn member(
        &mut self,
        path: &[u8],
        mode: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        self.members += 1;
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::other("a file of 4 GiB or more cannot be in an initramfs"))?;
        // One link each: the kernel takes members with the same number and several links for one file.
        let (owner, group, links, time, checksum) = (0, 0, 1, 0, 0);
        let path_size = path.len() as u32 + 1;
        self.out.write_all(b"070701")?;
        for number in [
            self.members,
            mode,
            owner,
            group,
            links,
            time,
            size,
            0,
            0,
            major,
            minor,
            path_size,
            checksum,
        ] {
            write!(self.out, "{number:08x}")?;
        }
        self.out.write_all(path)?;
        // The header has 110 bytes, the path ends with a zero.
        self.zeros(1 + padding(110 + path.len() + 1))?;
        self.out.write_all(content)?;
        self.zeros(padding(content.len()))
    }

    fn zeros(&mut self, count: usize) -> io::Result<()> {
        self.out.write_all(&[0; 4][..count])
    }
}

/// Archives have paths relative to the root directory.
fn name(path: &Path) -> &[u8] {
    let path = path.strip_prefix("/").unwrap_or(path);
    path.as_os_str().as_encoded_bytes()
}

/// How many bytes are missing to a multiple of 4.
fn padding(size: usize) -> usize {
    size.next_multiple_of(4) - size
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.directory(Path::new("/dir")).unwrap();
        let file = Path::new("/dir").join(name);
        archive.file(&file, 0o100_750, content).unwrap();
        archive
            .symlink(Path::new("/link"), Path::new("dir"))
            .unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn parts_begin_at_multiples_of_4_whatever_their_sizes() {
        for length in 1..=9 {
            let name = "n".repeat(length);
            let content = vec![b'x'; length];
            let archive = archive(&name, &content);
            assert_eq!(archive.len() % 4, 0);
            let starts = archive.windows(6).enumerate();
            let starts: Vec<usize> = starts
                .filter(|(_, w)| w == b"070701")
                .map(|(at, _)| at)
                .collect();
            assert_eq!(starts.len(), 4);
            assert!(starts.iter().all(|start| start % 4 == 0), "{starts:?}");
            let content_at = archive.windows(length).position(|w| w == content).unwrap();
            assert_eq!(content_at % 4, 0);
        }
    }

    #[test]
    fn a_device_has_its_numbers() {
        let mut archive = Archive::new(Vec::new());
        archive.device(Path::new("/dev/console"), 5, 1).unwrap();
        let text = String::from_utf8(archive.finish().unwrap()).unwrap();
        assert_eq!(&text[14..22], "00002180");
        assert_eq!(&text[78..94], "0000000500000001");
        assert!(text[110..].starts_with("dev/console\0"));
    }

    /// Another program's opinion; bsdtar, too, would do.
    #[test]
    fn cpio_unpacks_what_was_packed() {
        let there = Command::new("cpio").arg("--version").output();
        if there.is_err() {
            eprintln!("cpio is not installed: not compared with it");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let packed = directory.path().join("packed");
        let content: Vec<u8> = (0..=255).cycle().take(70_001).collect();
        fs::write(&packed, archive("file", &content)).unwrap();
        let unpacking = Command::new("cpio")
            .args(["--extract", "--quiet"])
            .current_dir(directory.path())
            .stdin(File::open(&packed).unwrap())
            .status()
            .unwrap();
        assert!(unpacking.success());
        let file = directory.path().join("link/file");
        assert_eq!(fs::read(&file).unwrap(), content);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    }
}
