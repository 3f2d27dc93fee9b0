//! Mistakes of certain kernels that cannot be asked for without making them: known by version, and told
//! to the user. What can be asked for is asked ([`super::kernel`], [`super::seccomp`]).

use std::path::Path;

/// Stable releases of one series that have a mistake: the series, the first release with it, and the
/// one that mended it.
type Releases = ((u32, u32), u32, Option<u32>);

/// A mistake.
struct Trap {
    releases: &'static [Releases],
    /// The lack, its effect, the remedy.
    words: &'static str,
}

const TRAPS: &[Trap] = &[
    // cfa7f3d2c526 ("perf,x86: avoid missing caller address in stack traces captured in uprobe", in
    // 6.12-rc1 and the stable series from these releases on) looks at what uprobe_free_utask frees when
    // a thread exits that met a uprobe, until b583ef82b671 ("uprobes: Fix race in uprobe_free_utask",
    // 6.13). Releases: the stable series' change logs; 6.11 ended without.
    #[cfg(target_arch = "x86_64")]
    Trap {
        releases: &[
            ((6, 1), 113, Some(131)),
            ((6, 6), 55, Some(83)),
            ((6, 11), 3, None),
            ((6, 12), 0, Some(19)),
        ],
        words: "this kernel can panic when another tool samples a thread's stack (perf -g, a \
                continuous profiler) just as that thread exits and has met a probe (Linux commit \
                b583ef82b671 mends it); stop such tools first, or boot a newer release of its series",
    },
];

/// What the user has to know of the running kernel.
pub fn of_this_kernel(proc: &Path) -> Vec<&'static str> {
    version(proc).map_or(Vec::new(), of)
}

fn of((major, minor, patch): (u32, u32, u32)) -> Vec<&'static str> {
    let has = |&(series, first, mended): &Releases| {
        series == (major, minor) && patch >= first && mended.is_none_or(|mended| patch < mended)
    };
    let traps = TRAPS.iter().filter(|trap| trap.releases.iter().any(has));
    traps.map(|trap| trap.words).collect()
}

/// The stable release that the kernel was made of. Distributions say it in places of their own: Ubuntu
/// in a file, Debian behind the name; others in the name.
pub fn version(proc: &Path) -> Option<(u32, u32, u32)> {
    let read = |name: &str| std::fs::read_to_string(proc.join(name)).ok();
    let ubuntu = || {
        read("version_signature")?
            .split_whitespace()
            .last()
            .and_then(numbers)
    };
    let debian = || numbers(read("version")?.split_once(" Debian ")?.1);
    let name = || numbers(&read("sys/kernel/osrelease")?);
    ubuntu().or_else(debian).or_else(name)
}

/// The three numbers that a text begins with; the last one is 0 when there are two.
fn numbers(text: &str) -> Option<(u32, u32, u32)> {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit());
    let mut parts = text[..end.unwrap_or(text.len())].split('.').map(str::parse);
    let mut next = || parts.next()?.ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = proc.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        proc
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_mistake_begins_and_ends_with_a_release() {
        for (version, there) in [
            ((6, 1, 112), false),
            ((6, 1, 113), true),
            ((6, 1, 130), true),
            ((6, 1, 131), false),
            ((6, 11, 2), false),
            ((6, 11, 99), true),
            ((6, 12, 0), true),
            ((6, 12, 19), false),
            ((6, 13, 0), false),
            ((5, 10, 200), false),
        ] {
            assert_eq!(!of(version).is_empty(), there, "{version:?}");
        }
    }

    #[test]
    fn distributions_name_the_release_where_they_like() {
        let debian =
            "Linux version 6.1.0-56-cloud-amd64 (gcc-12) #1 SMP Debian 6.1.120-2 (2026-07-31)\n";
        let release = ("sys/kernel/osrelease", "6.1.0-56-cloud-amd64\n");
        let found = |files: &[(&str, &str)]| version(proc(files).path());
        assert_eq!(found(&[("version", debian), release]), Some((6, 1, 120)));
        let ubuntu = ("version_signature", "Ubuntu 6.11.0-9.9-generic 6.11.5\n");
        assert_eq!(found(&[ubuntu, release]), Some((6, 11, 5)));
        assert_eq!(
            found(&[("version", "Linux version 6.1.0"), release]),
            Some((6, 1, 0))
        );
        assert_eq!(found(&[("sys/kernel/osrelease", "7.3\n")]), Some((7, 3, 0)));
        assert_eq!(found(&[]), None);
    }
}
