//! What is in a guest's file system, before it is written: each path once, parents first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::newc::Archive;

/// As many symbolic links as the kernel follows for one path.
const LINKS: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory,
    /// The content and mode of a file of this machine, read when the archive is written.
    Copy(PathBuf),
    Text(String),
    Symlink(PathBuf),
    Device(u32, u32),
}

/// Paths in the guest, all absolute and without symbolic links in their directories.
#[derive(Debug, Default)]
pub struct Tree {
    // Sorted by path: a directory comes before what is in it.
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// An empty directory.
    pub fn directory(&mut self, path: &str) {
        self.put(PathBuf::from(path), Entry::Directory);
    }

    /// A character device's node.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.put(PathBuf::from(path), Entry::Device(major, minor));
    }

    /// A file with this text.
    pub fn text(&mut self, path: &str, text: String) {
        self.put(PathBuf::from(path), Entry::Text(text));
    }

    /// A file of this machine at another place.
    pub fn copy(&mut self, path: &str, from: &Path) {
        self.put(PathBuf::from(path), Entry::Copy(from.to_owned()));
    }

    /// A file of this machine at its own place. Each symbolic link on the way becomes the same link
    /// in the guest, so that a path means there what it means here (`/lib` being `/usr/lib`).
    pub fn own(&mut self, path: &Path) -> Result<()> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            match first_link(&path) {
                Some((link, rest)) => {
                    let target = fs::read_link(&link)
                        .with_context(|| format!("reading the link {}", link.display()))?;
                    let directory = link.parent().unwrap_or(Path::new("/"));
                    path = plain(&directory.join(&target).join(rest));
                    self.put(link, Entry::Symlink(target));
                }
                None if path.is_file() => {
                    self.put(path.clone(), Entry::Copy(path));
                    return Ok(());
                }
                None => bail!("{} is not a file", path.display()),
            }
        }
        bail!("{} is behind too many symbolic links", path.display())
    }

    /// Leaves out what is in the other tree, which the guest unpacks first.
    pub fn without(&mut self, other: &Self) {
        self.entries
            .retain(|path, entry| other.entries.get(path) != Some(entry));
    }

    /// Writes the archive.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let mut archive = Archive::new(out);
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory => archive.directory(path),
                Entry::Text(text) => archive.file(path, 0o644, text.as_bytes()),
                Entry::Symlink(target) => archive.symlink(path, target),
                Entry::Device(major, minor) => archive.device(path, *major, *minor),
                Entry::Copy(from) => fs::read(from)
                    .and_then(|content| Ok((content, from.metadata()?.permissions().mode())))
                    .and_then(|(content, mode)| archive.file(path, mode, &content)),
            }
            .with_context(|| format!("packing {} for the guest", path.display()))?;
        }
        archive.finish()?.flush().context("packing for the guest")
    }

    fn put(&mut self, path: PathBuf, entry: Entry) {
        let parents = path
            .ancestors()
            .skip(1)
            .filter(|parent| parent.parent().is_some());
        for parent in parents {
            self.entries
                .entry(parent.to_owned())
                .or_insert(Entry::Directory);
        }
        self.entries.insert(path, entry);
    }
}

/// The shortest beginning of a path that is a symbolic link here, and what follows it.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut beginning = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        beginning.push(component);
        if beginning.is_symlink() {
            return Some((beginning, components.as_path().to_owned()));
        }
    }
    None
}

/// Without `.` and `..`; nothing before a `..` may be a symbolic link.
fn plain(path: &Path) -> PathBuf {
    let mut parts: Vec<OsString> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    Path::new("/").join(parts.iter().collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn entry<'a>(tree: &'a Tree, path: &Path) -> Option<&'a Entry> {
        tree.entries.get(path)
    }

    #[test]
    fn a_path_through_links_means_the_same_in_the_guest() {
        let directory = tempfile::tempdir().unwrap();
        // The directory for temporary files may be behind a link itself.
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("usr/lib/libx.so.1.2"), "x").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("../lib/libx.so.1.2", root.join("usr/lib/libx.so.1")).unwrap();

        let mut tree = Tree::default();
        tree.own(&root.join("lib/libx.so.1")).unwrap();
        let real = root.join("usr/lib/libx.so.1.2");
        assert_eq!(
            entry(&tree, &root.join("lib")),
            Some(&Entry::Symlink("usr/lib".into()))
        );
        assert_eq!(
            entry(&tree, &root.join("usr/lib/libx.so.1")),
            Some(&Entry::Symlink("../lib/libx.so.1.2".into()))
        );
        assert_eq!(entry(&tree, &real), Some(&Entry::Copy(real.clone())));
        for parent in ["usr", "usr/lib"] {
            assert_eq!(entry(&tree, &root.join(parent)), Some(&Entry::Directory));
        }
        assert_eq!(entry(&tree, Path::new("/")), None);
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        for (name, words) in [("a", "too many"), ("c", "not a file"), (".", "not a file")] {
            let error = Tree::default()
                .own(&directory.path().join(name))
                .unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_second_archive_has_only_what_the_first_lacks() {
        let mut first = Tree::default();
        first.text("/guest/a", "a".into());
        let mut second = Tree::default();
        second.text("/guest/a", "a".into());
        second.text("/guest/plan", "suite\tx\t300\n".into());
        second.without(&first);
        let left: Vec<_> = second.entries.keys().collect();
        assert_eq!(left, [Path::new("/guest/plan")]);
    }
}
