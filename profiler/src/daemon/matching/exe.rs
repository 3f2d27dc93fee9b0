//! Matching by the executable, and by the kernel's short name of a process.

use super::pattern::Pattern;

/// The executable: a glob for its whole path, or without a slash for the file's name alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Exe {
    pattern: Pattern,
    name_only: bool,
}

impl Exe {
    /// As it is typed. Fails with what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name_only = !text.contains('/');
        // What the kernel says is a path from the root.
        if !name_only && !text.starts_with(['/', '*', '?', '[', '{']) {
            return Err(format!(
                "{text:?} matches no executable: write the path from the root, such as \
                 \"/usr/bin/x\", or \"**/{text}\", or the file's name alone"
            ));
        }
        Ok(Self {
            pattern: Pattern::new(text)?,
            name_only,
        })
    }

    /// Whether `exe`, a path as [`super::Candidate`] has it, is meant.
    pub fn matches(&self, exe: &str) -> bool {
        let name = exe.rsplit('/').next().unwrap_or(exe);
        // Empty: it could not be read.
        !exe.is_empty()
            && self
                .pattern
                .matches(if self.name_only { name } else { exe })
    }
}

/// The kernel's short name of a process: the beginning of its executable's name, unless it has chosen another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comm(String);

impl Comm {
    /// The kernel keeps no more, bytes.
    const LONGEST: usize = 15;

    /// As it is typed. Fails with what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a process has a name; leave the key out to have any".to_owned());
        }
        if text.len() > Self::LONGEST {
            let mut end = Self::LONGEST;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            return Err(format!(
                "the kernel keeps {} bytes of a name, so that this one is never found; write {:?}",
                Self::LONGEST,
                &text[..end]
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `comm` is meant.
    pub fn matches(&self, comm: &str) -> bool {
        self.0 == comm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_a_path_or_a_name() {
        for (glob, exe, matches) in [
            ("/usr/bin/nginx", "/usr/bin/nginx", true),
            ("/usr/bin/nginx", "/usr/sbin/nginx", false),
            ("/usr/*/nginx", "/usr/sbin/nginx", true),
            ("/usr/*", "/usr/sbin/nginx", false),
            ("/usr/**", "/usr/sbin/nginx", true),
            ("**/nginx", "/usr/sbin/nginx", true),
            ("nginx", "/usr/sbin/nginx", true),
            ("python3*", "/usr/bin/python3.13", true),
            ("nginx", "/usr/nginx/other", false),
            ("nginx", "/usr/sbin/nginx2", false),
            ("**", "", false),
            ("*", "", false),
        ] {
            let parsed = Exe::parse(glob).expect(glob);
            assert_eq!(parsed.matches(exe), matches, "{glob} {exe}");
        }
    }

    #[test]
    fn a_path_that_is_never_one_is_refused() {
        let error = Exe::parse("bin/nginx").expect_err("relative");
        assert!(error.contains("**/bin/nginx"), "{error}");
        assert!(Exe::parse("").is_err());
    }

    #[test]
    fn a_name_that_the_kernel_would_cut_is_refused() {
        let error = Comm::parse("postgres-checkpointer").expect_err("too long");
        assert!(error.contains("\"postgres-checkp\""), "{error}");
        let error = Comm::parse("äääääääääää").expect_err("too long");
        assert!(error.contains("\"äääääää\""), "{error}");
        assert!(Comm::parse("").is_err());
        assert!(Comm::parse("postgres-checkp").is_ok_and(|comm| comm.matches("postgres-checkp")));
        assert!(!Comm::parse("a").expect("a name").matches("ab"));
    }
}
