//! Matching by systemd unit: it names a unit's control group after the unit.

use super::pattern::Pattern;

/// Kinds of units that have processes, but for slices.
const KINDS: &[&str] = &[".service", ".scope", ".socket", ".mount", ".swap"];

const SLICE: &str = ".slice";

/// What systemd puts before the name of a unit that could be taken for a file of the kernel's (`cpu.service`).
const MARK: char = '_';

/// A unit: a name or glob. A slice stands for all units in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    pattern: Pattern,
    slice: bool,
}

impl Unit {
    /// As it is typed. Fails with what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Err(format!(
                "{text:?} is a path, and a unit has a name; write its last part, or use `cgroup`"
            ));
        }
        let slice = text.ends_with(SLICE);
        if !slice && !is_unit(text) {
            return Err(format!(
                "{text:?} is no unit's name: it ends in one of {} {SLICE}; write \"{text}.service\"",
                KINDS.join(" ")
            ));
        }
        Ok(Self {
            pattern: Pattern::new(text)?,
            slice,
        })
    }

    /// Whether a process in the control group at `path`, as `/proc/PID/cgroup` has it, is of this unit: of the
    /// innermost one, as a user's manager is a unit, too, and so is a container with a systemd of its own.
    pub fn matches(&self, path: &str) -> bool {
        let mut names = path.rsplit('/').map(unmarked);
        if self.slice {
            return names.any(|name| name.ends_with(SLICE) && self.pattern.matches(name));
        }
        names
            .find(|name| is_unit(name))
            .is_some_and(|name| self.pattern.matches(name))
    }
}

fn is_unit(name: &str) -> bool {
    KINDS.iter().any(|kind| name.ends_with(kind))
}

/// The unit's name of its directory's.
fn unmarked(name: &str) -> &str {
    name.strip_prefix(MARK).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "/user.slice/user-1000.slice/user@1000.service";

    #[test]
    fn a_unit_is_the_innermost_of_the_path() {
        let nested = format!("{USERS}/app.slice/app-gnome-x\\x2dy-123.scope");
        for (unit, path, matches) in [
            ("nginx.service", "/system.slice/nginx.service", true),
            ("nginx.service", "/system.slice/nginx.service/workers", true),
            ("nginx.service", "/system.slice/xnginx.service", false),
            ("nginx.service", "/system.slice", false),
            ("nginx.service", "/", false),
            (
                "getty@tty1.service",
                "/system.slice/system-getty.slice/getty@tty1.service",
                true,
            ),
            (
                "getty@*.service",
                "/system.slice/system-getty.slice/getty@tty1.service",
                true,
            ),
            (r"app-gnome-x\x2dy-*.scope", nested.as_str(), true),
            ("user@1000.service", nested.as_str(), false),
            (
                "user@1000.service",
                "/user.slice/user-1000.slice/user@1000.service/init.scope",
                false,
            ),
            ("init.scope", "/init.scope", true),
            (
                "session-3.scope",
                "/user.slice/user-0.slice/session-3.scope",
                true,
            ),
            ("cpu.service", "/system.slice/_cpu.service", true),
            ("dev-sda2.swap", "/system.slice/dev-sda2.swap", true),
            (
                "nginx.service",
                "/docker/0123/system.slice/nginx.service",
                true,
            ),
        ] {
            let parsed = Unit::parse(unit).expect(unit);
            assert_eq!(parsed.matches(path), matches, "{unit} {path}");
        }
    }

    #[test]
    fn a_slice_stands_for_all_in_it() {
        for (unit, path, matches) in [
            ("user-1000.slice", USERS, true),
            ("user-*.slice", USERS, true),
            ("system.slice", USERS, false),
            ("system.slice", "/system.slice/a.service", true),
            (
                "kubepods-pod0a_1b.slice",
                "/kubepods.slice/kubepods-pod0a_1b.slice/crio-0.scope",
                true,
            ),
        ] {
            let parsed = Unit::parse(unit).expect(unit);
            assert_eq!(parsed.matches(path), matches, "{unit} {path}");
        }
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        let error = Unit::parse("nginx").expect_err("no suffix");
        assert!(error.contains("\"nginx.service\""), "{error}");
        assert!(Unit::parse("").is_err());
        assert!(Unit::parse("nginx.timer").is_err());
        let error = Unit::parse("system.slice/nginx.service").expect_err("a path");
        assert!(error.contains("cgroup"), "{error}");
    }
}
