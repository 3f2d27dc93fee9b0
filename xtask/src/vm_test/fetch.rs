//! Kernels from Debian's archive: found and checked by apt, unpacked, never installed.
//!
//! apt gets a configuration and a state of its own under the target directory, so that neither this
//! machine's package lists nor what is installed here matters, and root is not needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::kernels::Kernel;
use super::output::stdout_of;
use super::package::Package;
use crate::debian::{KEYRING, archive};
use crate::run;
use crate::toolchain::on_path;

/// linux-image-cloud-amd64, linux-image-VERSION-cloud-amd64, linux-binary-VERSION-cloud-amd64: more
/// than that would be a circle.
const PACKAGES: usize = 5;

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub vmlinuz: PathBuf,
    /// The package with the kernel, and its version.
    pub package: String,
    pub version: String,
}

/// Fetches the newest version of a kernel, unless it is there, into `vm/kernels`.
///
/// When the archive cannot be reached, the version that was the newest last time is taken from
/// there, with a warning.
pub fn kernel(kernel: &Kernel, vm: &Path) -> Result<Fetched> {
    let apt = Apt::of(kernel, vm)?;
    let updated = apt.update();
    if let Err(error) = &updated {
        eprintln!(
            "vm-test: the archive cannot be reached: what was its newest kernel before is taken, if it is here\n{error:#}"
        );
    }
    let package = match (apt.package_with_kernel(&kernel.package), updated) {
        (Ok(package), _) => package,
        (Err(_), Err(unreachable)) => return Err(unreachable),
        (Err(error), Ok(())) => return Err(error),
    };
    let directory = format!("{}_{}", package.name, package.version);
    let directory = vm.join("kernels").join(directory);
    let vmlinuz = directory.join("vmlinuz");
    if !vmlinuz.exists() {
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        apt.unpack(&package, &vmlinuz)?;
    }
    Ok(Fetched {
        vmlinuz,
        package: package.name,
        version: package.version,
    })
}

/// apt, knowing one suite of Debian's archive and nothing else.
struct Apt {
    directory: PathBuf,
    suite: String,
}

impl Apt {
    fn of(kernel: &Kernel, vm: &Path) -> Result<Self> {
        ensure!(
            on_path("apt-get") && on_path("dpkg-deb"),
            "there is no apt on this machine, and kernels come from Debian's archive: \
             run vm-test on Debian, for instance in a container"
        );
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is not there, so no package could be trusted: install debian-archive-keyring"
        );
        let directory = vm.join("apt").join(&kernel.suite);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part))
                .with_context(|| format!("creating {}", directory.display()))?;
        }
        let Kernel { suite, .. } = kernel;
        let archive = archive()?;
        let address = archive.address(suite);
        for (name, text) in [
            (
                "sources.list",
                format!("deb [signed-by={KEYRING}] {address} {suite} main\n"),
            ),
            ("apt.conf", configuration(&directory)),
        ] {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(Self {
            directory,
            suite: suite.clone(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = run::program(program);
        // -qq: only errors
        command
            .arg("-qq")
            .arg("-c")
            .arg(self.directory.join("apt.conf"));
        command
    }

    fn update(&self) -> Result<()> {
        stdout_of(self.command("apt-get").arg("update"))
            .with_context(|| format!("reading Debian's package lists of {}", self.suite))
            .map(drop)
    }

    /// The newest version of the package with the kernel that this package depends on.
    fn package_with_kernel(&self, name: &str) -> Result<Package> {
        let mut name = name.to_owned();
        for _ in 0..PACKAGES {
            let mut show = self.command("apt-cache");
            show.args(["show", "--no-all-versions", &name]);
            let shown = stdout_of(&mut show).with_context(|| format!("looking for {name}"))?;
            let package = Package::first_of(&shown)
                .with_context(|| format!("{} has no package {name}", self.suite))?;
            match package.kernel_in {
                Some(next) => name = next,
                None => return Ok(package),
            }
        }
        bail!(
            "the packages of {} depend on one another in circles, up to {name}",
            self.suite
        )
    }

    /// Downloads the package and takes the kernel out of it.
    fn unpack(&self, package: &Package, vmlinuz: &Path) -> Result<()> {
        let Package { name, version, .. } = package;
        let download = self.directory.join("download");
        // What an interrupted run left would be unpacked, too.
        if download.exists() {
            fs::remove_dir_all(&download).context("removing an old download")?;
        }
        fs::create_dir(&download).context("creating a directory for the download")?;
        eprintln!("vm-test: fetching {name} {version} from {}", self.suite);
        let mut get = self.command("apt-get");
        get.current_dir(&download)
            .args(["download", &format!("{name}={version}")]);
        stdout_of(&mut get).with_context(|| format!("downloading {name} {version}"))?;
        let archive = fs::read_dir(&download)?
            .next()
            .with_context(|| format!("apt downloaded no file for {name}"))??
            .path();
        take_kernel(&archive, vmlinuz)
            .with_context(|| format!("unpacking {}", archive.display()))?;
        fs::remove_dir_all(&download).context("removing the download")
    }
}

/// What apt reads after the machine's own configuration, in which a proxy may be set.
fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"Dir::Etc::sourcelist "{directory}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "{directory}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{directory}/cache";
APT::Architecture "amd64";
// Its user for downloads may not enter the target directory.
APT::Sandbox::User "root";
Acquire::Languages "none";
// By default it succeeds when nothing could be fetched.
APT::Update::Error-Mode "any";
"#
    )
}

/// Writes the one kernel in a package to `vmlinuz`, which comes to be only when all went well.
fn take_kernel(package: &Path, vmlinuz: &Path) -> Result<()> {
    let unfinished = vmlinuz.with_extension("part");
    let mut unpacking = run::program("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting dpkg-deb")?;
    let files = unpacking.stdout.take().context("dpkg-deb has no output")?;
    let taken = run::program("tar")
        // boot/vmlinuz-VERSION, since 7.x usr/lib/modules/VERSION/vmlinuz
        .args(["--extract", "--to-stdout", "--wildcards", "*/vmlinuz*"])
        .stdin(files)
        .stdout(fs::File::create(&unfinished)?)
        .status()
        .context("starting tar")?;
    let unpacked = unpacking.wait()?;
    ensure!(unpacked.success(), "dpkg-deb: {unpacked}");
    ensure!(taken.success(), "tar: {taken}");
    let kernel = fs::read(&unfinished)?;
    ensure!(is_kernel(&kernel), "there is no x86 kernel in it");
    fs::rename(&unfinished, vmlinuz)?;
    Ok(())
}

/// Whether the mark of the boot protocol is there (`Documentation/arch/x86/boot.rst`).
fn is_kernel(image: &[u8]) -> bool {
    image.get(0x202..0x206) == Some(b"HdrS")
}
