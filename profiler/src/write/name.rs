//! Names from outside (functions, modules, a process's own name) made fit for our formats.
//! The profiled process chooses them, and the result is shown on the terminal of somebody else.

use std::borrow::Cow;

/// The name without characters that steer a terminal or that XML cannot hold: white space and
/// control characters become one space each, reordering marks and non-characters U+FFFD.
/// No space is left at the ends.
pub fn clean(name: &str) -> Cow<'_, str> {
    if !name.contains(|c: char| replacement(c).is_some()) {
        return Cow::Borrowed(name.trim_matches(' '));
    }
    let cleaned: String = name
        .chars()
        .map(|c| replacement(c).unwrap_or(c))
        .collect::<String>();
    Cow::Owned(cleaned.trim_matches(' ').to_owned())
}

fn replacement(c: char) -> Option<char> {
    let invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let noncharacter = matches!(c, '\u{fffe}' | '\u{ffff}');
    if c != ' ' && (c.is_control() || c.is_whitespace()) {
        Some(' ')
    } else if invisible || noncharacter {
        Some('\u{fffd}')
    } else {
        None
    }
}

/// The name as a frame of a folded line, which any reader of that format splits where we joined:
///
/// - as [`clean`] does it;
/// - `;` becomes `:`, as stackcollapse-perf.pl does it (Rust's `[u8; 4]` is `[u8: 4]`);
/// - the space before a number at the end becomes `_`, because readers would take `f 12 3` for a
///   differential line with two numbers;
/// - a `#` that stands alone at the beginning becomes `#_`, because inferno would take it for a
///   comment;
/// - an empty name becomes `[unknown]`.
pub fn folded(name: &str) -> String {
    let mut name = clean(name).replace(';', ":");
    if let Some(space) = name.rfind(' ')
        && name[space + 1..]
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.')
    {
        name.replace_range(space..=space, "_");
    }
    if name == "#" || name.starts_with("# ") {
        name.insert(1, '_');
    }
    if name.is_empty() {
        name.push_str("[unknown]");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_leaves_ordinary_names_alone() {
        for name in ["main", "operator new(unsigned long)", "größe", "a::b<c, d>"] {
            assert!(matches!(clean(name), Cow::Borrowed(same) if same == name));
        }
    }

    #[test]
    fn clean_disarms_terminal_escapes() {
        assert_eq!(clean("\u{1b}[31mred\u{7}\n"), "[31mred");
        assert_eq!(clean("a\tb\r\nc"), "a b  c");
        assert_eq!(clean("\u{202e}drowssap"), "\u{fffd}drowssap");
    }

    #[test]
    fn folded_names_cannot_break_a_line() {
        assert_eq!(folded("f<[u8; 4]>"), "f<[u8: 4]>");
        assert_eq!(folded("a\nb"), "a b");
        assert_eq!(folded("f 12"), "f_12");
        assert_eq!(folded("f 1.5"), "f_1.5");
        assert_eq!(folded("f #2"), "f #2");
        assert_eq!(folded("# comment"), "#_ comment");
        assert_eq!(folded("#"), "#_");
        assert_eq!(folded(" \n"), "[unknown]");
    }
}
