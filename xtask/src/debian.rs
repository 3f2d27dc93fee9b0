//! Which Debian this machine has, and where it gets it from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const SOURCES: &str = "/etc/apt";
/// What Debian's archive is signed with.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// This machine's own sources say where Debian is.
pub fn archive() -> Result<Archive> {
    let mut files = vec![Path::new(SOURCES).join("sources.list")];
    if let Ok(parts) = fs::read_dir(Path::new(SOURCES).join("sources.list.d")) {
        files.extend(parts.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let with_extension = |extension: &str| -> Vec<String> {
        let wanted = files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == extension));
        wanted.flat_map(fs::read_to_string).collect()
    };
    Archive::of(&with_extension("sources"), &with_extension("list"))
}

/// The name of this machine's release.
pub fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let name = codename(&text);
    name.map(str::to_owned)
        .context("/etc/os-release names no VERSION_CODENAME: which Debian is this?")
}

/// The release's name of `/etc/os-release`.
fn codename(release: &str) -> Option<&str> {
    let value = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let name = value.trim_matches('"');
    (!name.is_empty()).then_some(name)
}

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
             unknown where packages can be fetched: add the sources of a Debian release",
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
    fn the_release_is_told_from_its_file() {
        let text = "ID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(codename(text), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\n"), Some("trixie"));
        assert_eq!(codename("ID=debian\n"), None);
    }
}
