//! What apt writes and prints: where this machine gets Debian from, and which package has the kernel.

use anyhow::{Context, Result};

/// The addresses of Debian's archive that this machine uses itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Archive {
    main: String,
    security: String,
}

/// An address and a suite that is taken from it.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    address: String,
    suite: String,
}

impl Archive {
    /// From the texts of apt's `*.sources` files and of its one-line files.
    ///
    /// The security suites are told by their name, and the archive is where the release that they
    /// belong to comes from.
    pub fn of(stanza_files: &[String], line_files: &[String]) -> Result<Self> {
        let stanzas = stanza_files.iter().flat_map(|text| stanzas(text));
        let lines = line_files.iter().flat_map(|text| lines(text));
        let sources: Vec<Source> = stanzas.chain(lines).collect();
        let found = sources.iter().find_map(|security| {
            let release = security.suite.strip_suffix("-security")?;
            let main = sources.iter().find(|source| source.suite == release)?;
            Some(Self {
                main: main.address.clone(),
                security: security.address.clone(),
            })
        });
        found.context(
            "apt's sources in /etc/apt have no release together with its -security suite, so it is \
             unknown where kernels can be fetched: add the sources of a Debian release",
        )
    }

    /// Where a suite is.
    pub fn address(&self, suite: &str) -> &str {
        if suite.ends_with("-security") {
            &self.security
        } else {
            &self.main
        }
    }
}

/// The deb822 form: paragraphs of fields, whose further lines begin with a blank.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let without_comments: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    for paragraph in without_comments.split(|line| line.trim().is_empty()) {
        let text = paragraph.join("\n");
        let words = |field: &str| -> Vec<String> {
            let mut inside = false;
            let mut words = Vec::new();
            for line in text.lines() {
                let value = if line.starts_with([' ', '\t']) {
                    line
                } else {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    inside = name.eq_ignore_ascii_case(field);
                    value
                };
                if inside {
                    words.extend(value.split_whitespace().map(str::to_owned));
                }
            }
            words
        };
        let off = words("Enabled").first().is_some_and(|word| word == "no");
        if off || !words("Types").iter().any(|word| word == "deb") {
            continue;
        }
        for address in words("URIs") {
            sources.extend(words("Suites").into_iter().map(|suite| Source {
                address: address.clone(),
                suite,
            }));
        }
    }
    sources
}

/// The one-line form: `deb [options] address suite component...`.
fn lines(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let rest = line.trim_start().strip_prefix("deb")?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        Some(Source {
            address: words.next()?.to_owned(),
            suite: words.next()?.to_owned(),
        })
    };
    text.lines().filter_map(source).collect()
}

/// A package as `apt-cache show` prints it.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// The package that this one needs for its kernel, if it has none itself.
    pub kernel_in: Option<String>,
}

impl Package {
    /// The first of those that are shown; `None` if none is.
    pub fn first_of(shown: &str) -> Option<Self> {
        let stanza = shown.split("\n\n").next()?;
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()))
        };
        let depends: Vec<&str> = field("Depends")
            .unwrap_or_default()
            .split([',', '|'])
            .filter_map(|alternative| alternative.split_whitespace().next())
            .collect();
        // Since 7.x linux-image-* only brings linux-binary-*, linux-modules-* and others together.
        let kernel_in = ["linux-binary-", "linux-image-"].iter().find_map(|kind| {
            depends
                .iter()
                .find(|package| package.starts_with(kind))
                .map(|&package| package.to_owned())
        });
        Some(Self {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            kernel_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb
# http://elsewhere.example/debian
URIs: http://one.example/debian
Suites: bookworm-updates
# the release
 bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm-security

Types: deb
URIs: http://off.example/debian-security
Suites: bookworm-security
Enabled: no

types: deb
uris: http://two.example/debian-security
suites: bookworm-security
";

    #[test]
    fn addresses_are_those_of_the_machines_stanzas() {
        let archive = Archive::of(&[STANZAS.to_owned()], &[]).unwrap();
        assert_eq!(
            archive,
            Archive {
                main: "http://one.example/debian".into(),
                security: "http://two.example/debian-security".into()
            }
        );
        assert_eq!(archive.address("bullseye-security"), archive.security);
        assert_eq!(archive.address("trixie-backports"), archive.main);
    }

    #[test]
    fn addresses_are_those_of_the_machines_lines() {
        let text = "\
# deb http://comment.example/debian bookworm-security main
deb-src http://source.example/debian bookworm-security main
deb http://tools.example/apt tools-security main
deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main # ours
deb http://two.example/security bookworm-security main contrib
";
        let archive = Archive::of(&[], &[text.to_owned()]).unwrap();
        assert_eq!(archive.main, "http://one.example/debian");
        assert_eq!(archive.security, "http://two.example/security");
    }

    #[test]
    fn without_a_release_and_its_security_suite_the_remedy_is_named() {
        let text = "deb http://one.example/debian bookworm main\n".to_owned();
        let error = Archive::of(&[], &[text]).unwrap_err().to_string();
        assert!(error.contains("-security"), "{error}");
    }

    #[test]
    fn the_kernel_is_followed_from_package_to_package() {
        let meta = "\
Package: linux-image-cloud-amd64
Source: linux-signed-amd64 (7.3.4+1~bpo13+1)
Version: 7.3.4-1~bpo13+1
Depends: linux-base-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-image-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-modules-cloud-amd64 (= 7.3.4-1~bpo13+1)
Description: Linux for x86-64 cloud (meta-package)

Package: linux-image-cloud-amd64
Version: 7.2.1-1~bpo13+1
";
        let package = Package::first_of(meta).unwrap();
        assert_eq!(package.name, "linux-image-cloud-amd64");
        assert_eq!(package.version, "7.3.4-1~bpo13+1");
        let image = "linux-image-7.3.4+deb13-cloud-amd64";
        assert_eq!(package.kernel_in.as_deref(), Some(image));

        let shell = "\
Package: linux-image-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1
Depends: dracut | initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool, linux-base-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-binary-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1)
";
        let binary = Package::first_of(shell).unwrap().kernel_in;
        assert_eq!(
            binary.as_deref(),
            Some("linux-binary-7.3.4+deb13-cloud-amd64")
        );

        let real = "\
Package: linux-image-5.10.0-46-cloud-amd64
Version: 5.10.262-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
";
        assert_eq!(Package::first_of(real).unwrap().kernel_in, None);
        let with_older =
            "Package: a\nVersion: 2\n\nPackage: a\nVersion: 1\nDepends: linux-image-1\n";
        assert_eq!(Package::first_of(with_older).unwrap().kernel_in, None);
        assert_eq!(Package::first_of(""), None);
    }
}
