//! Globs, where `*` ends at a slash and `**` does not.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The longest there may be, bytes. Paths of the kernel's are not longer.
const LONGEST: usize = 4096;

/// One or several globs, of which one must match. Equal when their texts are.
#[derive(Debug, Clone)]
pub struct Pattern {
    texts: Vec<String>,
    globs: GlobSet,
}

impl Pattern {
    /// Of one glob. Fails with what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::any_of(&[text])
    }

    /// Of several.
    pub fn any_of(texts: &[&str]) -> Result<Self, String> {
        // A set, also of one: a single matcher panics when its regular expression becomes too large or is
        // nested too deeply, the set says so.
        let mut globs = GlobSetBuilder::new();
        for text in texts {
            if text.is_empty() || text.len() > LONGEST {
                return Err(format!("a glob has 1 to {LONGEST} bytes"));
            }
            let glob = GlobBuilder::new(text)
                .literal_separator(true)
                // systemd writes `\x2d` in names, and means it.
                .backslash_escape(false)
                .build();
            globs.add(glob.map_err(|error| wrong(text, error.kind()))?);
        }
        let globs = globs
            .build()
            .map_err(|error| wrong(texts[0], error.kind()))?;
        Ok(Self {
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
            globs,
        })
    }

    /// Whether the whole of `text` is meant.
    pub fn matches(&self, text: &str) -> bool {
        self.globs.is_match(Path::new(text))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

/// The regular expression that was made of the glob is left out: nobody has typed it.
fn wrong(text: &str, kind: &globset::ErrorKind) -> String {
    let shown = text.chars().take(80).collect::<String>();
    match kind {
        globset::ErrorKind::Regex(_) => format!("the glob {shown:?} is too complicated"),
        kind => format!("the glob {shown:?} is none: {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_ends_at_a_slash() {
        let pattern = Pattern::new("/opt/*/bin/{a,b}?").expect("a glob");
        assert!(pattern.matches("/opt/x/bin/a1"));
        assert!(!pattern.matches("/opt/x/y/bin/a1"));
        assert!(!pattern.matches("/opt/x/bin/c1"));
        let deep = Pattern::new("/opt/**/a").expect("a glob");
        assert!(deep.matches("/opt/x/y/bin/a"));
    }

    #[test]
    fn a_backslash_is_a_backslash() {
        let pattern = Pattern::new(r"dev-disk\x2dby.*").expect("a glob");
        assert!(pattern.matches(r"dev-disk\x2dby.swap"));
    }

    #[test]
    fn what_is_no_glob_is_refused_and_never_a_panic() {
        let nested = format!("{}a{}", "{".repeat(2000), "}".repeat(2000));
        let long = "?".repeat(LONGEST);
        let longer = "a".repeat(LONGEST + 1);
        for (text, word) in [
            ("", "1 to 4096"),
            ("a[", "unclosed"),
            ("{a", "unclosed"),
            (nested.as_str(), "too complicated"),
            (longer.as_str(), "1 to 4096"),
        ] {
            let error = Pattern::new(text).expect_err(word);
            assert!(error.contains(word) && error.len() < 300, "{error}");
        }
        // Large, but it may be.
        let _either = Pattern::new(&long);
        let _either = Pattern::new(&"[!a]**/".repeat(500));
    }
}
