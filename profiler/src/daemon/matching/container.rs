//! Matching by container. Every runtime names a container's control group after the container's id, each in its
//! own way.

/// A container: its id, or the beginning of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container(String);

impl Container {
    /// What tools show by default, digits: less is not one container for sure.
    const SHORTEST: usize = 12;

    /// The whole of it, digits.
    const WHOLE: usize = 64;

    /// As it is typed. Fails with what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = (Self::SHORTEST..=Self::WHOLE).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!(
                "{text:?} is no container's id: that has {} to {} hexadecimal digits, as `docker ps`, \
                 `podman ps` and `crictl ps` show it; names are not known to the kernel",
                Self::SHORTEST,
                Self::WHOLE
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Whether a process in the control group at `path`, as `/proc/PID/cgroup` has it, is in this container, or in
    /// one within.
    pub fn matches(&self, path: &str) -> bool {
        path.split('/')
            .filter_map(id)
            .any(|id| id.starts_with(&self.0))
    }
}

/// The container's id in the name of a control group.
fn id(name: &str) -> Option<&str> {
    // The process that watches a container is outside of it.
    if name.contains("conmon") || name.starts_with("lxc.monitor") {
        return None;
    }
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let id = name.rsplit(['-', ':', '.']).next()?;
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (id.len() == Container::WHOLE && id.bytes().all(lower_hex)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f3a1c0d9e2b4a6f8c7d5e3b1a0f9d8c7b6a5f4e3d2c1b0a9f8e7d6c5b4a3f2e";
    const OTHER: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const POD: &str = "pod0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    const POD_UNIT: &str = "pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0";

    /// Paths as runtimes write them, and whether a process there is in the container `ID`.
    fn paths() -> Vec<(String, bool)> {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        [
            // Docker: with cgroupfs, with systemd, rootless, in version 1's hierarchies
            (format!("/docker/{ID}"), true),
            (format!("/docker/{ID}/system.slice/a.service"), true),
            (format!("/system.slice/docker-{ID}.scope"), true),
            (format!("/system.slice/docker-{ID}.scope/init.scope"), true),
            (format!("{user}/app.slice/docker-{ID}.scope"), true),
            (format!("/docker/buildkit/{ID}"), true),
            // Podman: root, rootless, in a pod, split from its service
            (format!("/machine.slice/libpod-{ID}.scope"), true),
            (format!("/machine.slice/libpod-{ID}.scope/container"), true),
            (format!("{user}/user.slice/libpod-{ID}.scope/container"), true),
            (format!("/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope"), true),
            (format!("/libpod_parent/libpod-{ID}"), true),
            (format!("/system.slice/web.service/libpod-payload-{ID}"), true),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), false),
            (format!("/machine.slice/machine-libpod_pod_{ID}.slice"), false),
            (format!("/system.slice/{ID}.service"), false),
            // Kubernetes: containerd and CRI-O, with systemd and with cgroupfs
            (format!("/kubepods/besteffort/{POD}/{ID}"), true),
            (format!("/kubepods/{POD}/{ID}"), true),
            (
                format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD_UNIT}.slice/cri-containerd-{ID}.scope"),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-{POD_UNIT}.slice/crio-{ID}.scope/container"),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-{POD_UNIT}.slice/docker-{ID}.scope"),
                true,
            ),
            (format!("/kubepods.slice/kubepods-{POD_UNIT}.slice/crio-conmon-{ID}.scope"), false),
            (
                format!("/system.slice/containerd.service/kubepods-burstable-{POD_UNIT}.slice:cri-containerd:{ID}"),
                true,
            ),
            (format!("/kubepods.slice/kubepods-{POD_UNIT}.slice"), false),
            (format!("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-{POD_UNIT}.slice/cri-containerd-{ID}.scope"), true),
            // kind: a node is a container, too
            (format!("/docker/{OTHER}/kubelet/kubepods/{POD}/{ID}"), true),
            (format!("/docker/{ID}/kubelet/kubepods/{POD}/{OTHER}"), true),
            // containerd alone, ECS, LXC
            (format!("/default/{ID}"), true),
            (format!("/system.slice/nerdctl-{ID}.scope"), true),
            (format!("/ecs/0123456789abcdef0123456789abcdef/{ID}"), true),
            (format!("/lxc/{ID}"), true),
            (format!("/lxc.payload.{ID}"), true),
            (format!("/lxc.monitor.{ID}"), false),
            // None of it
            ("/".to_owned(), false),
            ("/system.slice/nginx.service".to_owned(), false),
            (format!("/docker/{OTHER}"), false),
            (format!("/docker/{ID}0"), false),
            (format!("/docker/{}", ID.to_uppercase()), false),
            (format!("/docker/{}", &ID[..63]), false),
        ]
        .into()
    }

    #[test]
    fn every_runtimes_paths_are_understood() {
        for text in [ID, &ID[..12], &ID.to_uppercase()[..20]] {
            let container = Container::parse(text).expect(text);
            for (path, matches) in paths() {
                assert_eq!(container.matches(&path), matches, "{text} {path}");
            }
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "web", &ID[..11], &format!("{ID}0"), "8f3a1c0d9e2g"] {
            let error = Container::parse(text).expect_err(text);
            assert!(error.contains("12 to 64"), "{error}");
        }
    }
}
