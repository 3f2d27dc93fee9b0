//! Matching by control group.

use super::pattern::Pattern;

/// Where hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Directories of [`ROOT`] that are hierarchies of their own, where version 1 is in use.
const HIERARCHIES: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
    "systemd",
    "unified",
];

/// A control group and all below it: a path or glob, from the root of a hierarchy, or from `/sys/fs/cgroup`.
/// Hierarchies are not told from each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Cgroup(Pattern);

impl Cgroup {
    /// As it is typed. Fails with what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let below = text
            .strip_prefix(ROOT)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = below.unwrap_or(text).trim_matches('/');
        let in_hierarchy = below.and_then(|_| without_hierarchy(path));
        if path.is_empty() || in_hierarchy.is_some_and(str::is_empty) {
            return Err(
                "the root group has every process in it; write one below, such as \
                 \"/system.slice/nginx.service\""
                    .to_owned(),
            );
        }
        // Where there is only version 2, a group may be called `memory` all the same.
        let pattern = match in_hierarchy {
            Some(inner) => Pattern::any_of(&[path, inner]),
            None => Pattern::new(path),
        };
        Ok(Self(pattern?))
    }

    /// Whether the group at `path`, as `/proc/PID/cgroup` has it, is meant, or one above it.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at);
        !path.is_empty()
            && ends
                .chain([path.len()])
                .any(|end| self.0.matches(&path[..end]))
    }
}

/// What follows the hierarchy's directory, if `path` begins with one: `memory`, `cpu,cpuacct`.
fn without_hierarchy(path: &str) -> Option<&str> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let known = first.split(',').all(|name| HIERARCHIES.contains(&name));
    known.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_meant_with_all_below_it() {
        for (text, path, matches) in [
            ("/system.slice/a.service", "/system.slice/a.service", true),
            ("system.slice/a.service/", "/system.slice/a.service", true),
            (
                "/system.slice/a.service",
                "/system.slice/a.service/worker/1",
                true,
            ),
            ("/system.slice/a.service", "/system.slice/a.service2", false),
            ("/system.slice/a.service", "/system.slice", false),
            ("/a.service", "/system.slice/a.service", false),
            ("/system.slice/*", "/system.slice/a.service/x", true),
            ("/system.slice/*", "/system.slice", false),
            ("/*/a.service", "/system.slice/a.service", true),
            ("**/a.service", "/x/y/a.service/z", true),
            ("/docker/*", "/", false),
            ("**", "/", false),
            (
                "/sys/fs/cgroup/system.slice/a.service",
                "/system.slice/a.service",
                true,
            ),
            ("/sys/fs/cgroup/unified/x", "/x/y", true),
            ("/sys/fs/cgroup/memory/docker/*", "/docker/1", true),
            ("/sys/fs/cgroup/memory/x", "/memory/x", true),
            ("/sys/fs/cgroup/cpu,cpuacct/x", "/x", true),
            ("/memory/x", "/x", false),
            ("/sys/fs/cgroups/x", "/x", false),
            (
                r"/system.slice/a\x2db.service",
                r"/system.slice/a\x2db.service",
                true,
            ),
        ] {
            let parsed = Cgroup::parse(text).expect(text);
            assert_eq!(parsed.matches(path), matches, "{text} {path}");
        }
    }

    #[test]
    fn the_root_group_is_refused() {
        for text in [
            "",
            "/",
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/",
            "/sys/fs/cgroup/unified",
        ] {
            assert!(
                Cgroup::parse(text).is_err_and(|error| error.contains("root")),
                "{text}"
            );
        }
    }
}
