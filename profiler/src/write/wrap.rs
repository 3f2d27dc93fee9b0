//! Text in lines of a given width.

/// Joins words by spaces into lines of at most `width` columns. Longer words are cut.
pub fn wrap(words: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let word = fit(&word, width);
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// The end of the text, which says more than its beginning (`..::Class::method`), in at most
/// `width` columns.
pub fn fit(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut room = width - 2;
    let mut start = text.len();
    for (i, c) in text.char_indices().rev() {
        let Some(left) = room.checked_sub(column(c)) else {
            break;
        };
        room = left;
        start = i;
    }
    format!("..{}", &text[start..])
}

pub fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// How wide a terminal shows it, at most: where scripts with wide characters begin, every one is
/// taken for wide. Lines may break early then, and are never too wide.
fn column(c: char) -> usize {
    if c >= '\u{1100}' { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_stays() {
        assert_eq!(fit("a::b::method", 12), "a::b::method");
        assert_eq!(fit("a::b::method", 10), "..::method");
        assert_eq!(fit("日本語", 6), "日本語");
        assert_eq!(fit("日本語", 5), "..語");
    }

    #[test]
    fn lines_are_filled_to_the_width() {
        let words = ["aa", "bb", "cc", "dddddddd"].map(str::to_owned);
        assert_eq!(wrap(words.into_iter(), 5), ["aa bb", "cc", "..ddd"]);
    }

    proptest! {
        #[test]
        fn never_wider(words in prop::collection::vec("\\PC{0,40}", 0..8), width in 4..30_usize) {
            for line in wrap(words.into_iter(), width) {
                prop_assert!(columns(&line) <= width);
            }
        }
    }
}
