//! Where a process's cgroups are in the file system.

use std::path::{Component, Path, PathBuf};

use procfs::ProcessCGroup;
use procfs::process::MountInfo;

/// The mounts of the hierarchies that have to do with memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Version 1, the memory controller's.
    memory: Option<Mount>,
    /// Version 2.
    unified: Option<Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// Which cgroup is seen at the mount point: `/`, unless only a part of the hierarchy is mounted.
    root: String,
    point: PathBuf,
}

/// Where a cgroup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its directory.
    pub directory: PathBuf,
    /// Where its hierarchy is mounted: no parent can be seen above.
    pub top: PathBuf,
}

impl Place {
    /// Its directory and its parents', itself first.
    pub fn levels(&self) -> impl Iterator<Item = &Path> {
        let inside = |level: &&Path| level.starts_with(&self.top);
        self.directory.ancestors().take_while(inside)
    }
}

impl Mounts {
    /// Those of this process.
    pub fn of_self() -> Self {
        // Anybody's mounts may be listed there, with names that are no text.
        let list = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&list))
    }

    /// From lines as of `/proc/self/mountinfo`; such as are not understood are left out.
    pub fn parse(list: &str) -> Self {
        let mut mounts = Self::default();
        for mount in list
            .lines()
            .filter_map(|line| MountInfo::from_line(line).ok())
        {
            let slot = match mount.fs_type.as_str() {
                "cgroup2" => &mut mounts.unified,
                "cgroup" if mount.super_options.contains_key("memory") => &mut mounts.memory,
                _ => continue,
            };
            // A hierarchy can be mounted in parts: most is seen where the root is shortest.
            if slot
                .as_ref()
                .is_none_or(|known| mount.root.len() < known.root.len())
            {
                *slot = Some(Mount {
                    root: mount.root,
                    point: mount.mount_point,
                });
            }
        }
        mounts
    }

    /// The process's place in version 1's memory hierarchy, if there is one.
    pub fn memory(&self, groups: &[ProcessCGroup]) -> Option<Place> {
        let is_memory = |name: &String| name == "memory";
        let group = groups
            .iter()
            .find(|group| group.controllers.iter().any(is_memory))?;
        self.memory.as_ref()?.place(&group.pathname)
    }

    /// The process's place in version 2's hierarchy, if there is one.
    pub fn unified(&self, groups: &[ProcessCGroup]) -> Option<Place> {
        let group = groups.iter().find(|group| group.hierarchy == 0)?;
        self.unified.as_ref()?.place(&group.pathname)
    }
}

impl Mount {
    /// `None`: it is not below what is mounted, such as a cgroup outside of our namespace (`/../other`).
    fn place(&self, pathname: &str) -> Option<Place> {
        let below = Path::new(pathname).strip_prefix(&self.root).ok()?;
        let straight = below
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        // Joined with nothing, a path would get a slash at its end.
        let directory = below
            .components()
            .fold(self.point.clone(), |path, part| path.join(part));
        straight.then(|| Place {
            directory,
            top: self.point.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
not a mount at all
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

    fn group(hierarchy: u32, controllers: &[&str], pathname: &str) -> ProcessCGroup {
        ProcessCGroup {
            hierarchy,
            controllers: controllers.iter().map(ToString::to_string).collect(),
            pathname: pathname.to_owned(),
        }
    }

    #[test]
    fn both_versions_are_found_side_by_side() {
        let mounts = Mounts::parse(HYBRID);
        let groups = [
            group(4, &["memory"], "/app/web:1"),
            group(2, &["cpu", "cpuacct"], "/other"),
            group(0, &[], "/user.slice"),
        ];
        let memory = mounts.memory(&groups).unwrap();
        assert_eq!(
            memory.levels().collect::<Vec<_>>(),
            [
                "/sys/fs/cgroup/memory/app/web:1",
                "/sys/fs/cgroup/memory/app",
                "/sys/fs/cgroup/memory"
            ]
            .map(Path::new)
        );
        let unified = mounts.unified(&groups).unwrap();
        assert_eq!(
            unified.directory,
            Path::new("/sys/fs/cgroup/unified/user.slice")
        );
        assert_eq!(mounts.memory(&groups[1..]), None);
    }

    #[test]
    fn the_root_group_is_the_mount_point() {
        let place = Mounts::parse(HYBRID)
            .unified(&[group(0, &[], "/")])
            .unwrap();
        assert_eq!(place.directory.as_os_str(), "/sys/fs/cgroup/unified");
        assert_eq!(place.levels().count(), 1);
    }

    #[test]
    fn of_a_hierarchy_mounted_in_parts_the_larger_part_is_taken() {
        let line = |root: &str, point: &str| format!("1 2 0:3 {root} {point} rw - cgroup2 c rw\n");
        let parts = [line("/docker/abc", "/mnt"), line("/docker", "/sys")];
        for list in [parts.concat(), format!("{}{}", parts[1], parts[0])] {
            let mounts = Mounts::parse(&list);
            let place = |pathname| mounts.unified(&[group(0, &[], pathname)]);
            assert_eq!(
                place("/docker/abc/x").unwrap().directory,
                Path::new("/sys/abc/x")
            );
            assert_eq!(place("/dockers"), None, "not below the mounted part");
        }
    }

    #[test]
    fn a_cgroup_out_of_sight_has_no_place() {
        let mounts = Mounts::parse(HYBRID);
        for pathname in ["/../other", "/a/../../../etc", "relative", ""] {
            assert_eq!(
                mounts.unified(&[group(0, &[], pathname)]),
                None,
                "{pathname}"
            );
        }
        assert_eq!(Mounts::default().unified(&[group(0, &[], "/a")]), None);
    }
}
