//! The file systems that guests boot with: one archive that they share, and one of each guest's own
//! behind it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::built::{self, Built};
use super::needed::libraries;
use super::select::{Plan, Test};
use super::tree::Tree;

/// Where the kernel's own file systems go.
const MOUNTS: &[&str] = &["/dev", "/proc", "/sys", "/tmp", "/run"];

/// What tests start besides their own programs.
const PROGRAMS: &[&str] = &[
    "/bin/sh",
    "/bin/cat",
    "/bin/true",
    "/bin/false",
    "/bin/sleep",
];

/// What tests preload.
const ALLOCATORS: &[&str] = &[
    "libjemalloc.so.2",
    "libtcmalloc_minimal.so.4",
    "libmimalloc.so.2.0",
];
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// The part that all guests share.
pub struct Base {
    tree: Tree,
    archive: PathBuf,
}

impl Base {
    /// Packs what was built, the test programs, and what each of them needs to start.
    pub fn pack(built: &Built, programs: &[PathBuf], vm: &Path) -> Result<Self> {
        let mut tree = Tree::default();
        for mount in MOUNTS {
            tree.directory(mount);
        }
        // The kernel opens it for init before anything is mounted.
        tree.device("/dev/console", 5, 1);
        put(&mut tree, "/init", &built.init)?;
        let unfreed = ("unfreed", built.unfreed.clone());
        for (name, path) in [unfreed].iter().chain(&built.binaries) {
            let path = built::stripped(path, name, vm)?;
            put(&mut tree, &format!("/guest/bin/{name}"), &path)?;
        }
        for path in programs {
            let name = path.file_name().unwrap_or(path.as_os_str());
            put(
                &mut tree,
                &format!("/guest/programs/{}", name.display()),
                path,
            )?;
        }
        for path in PROGRAMS {
            put_own(&mut tree, Path::new(path))?;
        }
        for name in ALLOCATORS {
            put_own(&mut tree, &Path::new(LIBRARIES).join(name))?;
        }
        let images = vm.join("images");
        fs::create_dir_all(&images).with_context(|| format!("creating {}", images.display()))?;
        let archive = images.join("base.cpio");
        let file =
            File::create(&archive).with_context(|| format!("writing {}", archive.display()))?;
        tree.write(BufWriter::new(file))?;
        Ok(Self { tree, archive })
    }

    /// The shared archive followed by one with the guest's own programs and its plan.
    pub fn with(&self, plan: &Plan, vm: &Path) -> Result<PathBuf> {
        let mut tree = Tree::default();
        for name in &plan.guest.programs {
            put_own(&mut tree, &on_path(name)?)?;
        }
        tree.text("/guest/plan", plan_file(plan));
        tree.without(&self.tree);
        let image = vm.join("images").join(format!("{}.cpio", plan.guest.name));
        fs::copy(&self.archive, &image)
            .and_then(|_| OpenOptions::new().append(true).open(&image))
            .with_context(|| format!("writing {}", image.display()))
            .and_then(|file| tree.write(BufWriter::new(file)))?;
        Ok(image)
    }

    /// The shared archive alone: enough to see whether init starts.
    pub fn archive(&self) -> &Path {
        &self.archive
    }
}

/// A line for each test: its binary, its name and the seconds it may take, between tabs.
fn plan_file(plan: &Plan) -> String {
    let line = |test: &Test| format!("{}\t{}\t{}\n", test.binary, test.name, plan.guest.limit);
    plan.tests.iter().map(line).collect()
}

/// A file at a place of its own, its libraries where they are here.
fn put(tree: &mut Tree, place: &str, path: &Path) -> Result<()> {
    tree.copy(place, path);
    for library in libraries(path)? {
        tree.own(&library)?;
    }
    Ok(())
}

/// The same at the place where it is here.
fn put_own(tree: &mut Tree, path: &Path) -> Result<()> {
    tree.own(path)?;
    for library in libraries(path)? {
        tree.own(&library)?;
    }
    Ok(())
}

/// Where this machine has a program.
fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(path.as_os_str())
        .map(|directory| directory.join(OsStr::new(name)))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("`{name}`, which a guest is to have, is not on this machine's PATH: install it")
        })
}
