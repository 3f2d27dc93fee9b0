//! A line of the index: a checksum (CRC-32 of what follows the blank, eight hexadecimal digits), a blank, JSON.
//! Each line says by itself whether it is whole, so that damage costs the lines that it is in and no others.

use std::io;

use serde::{Deserialize, Serialize};

use super::super::entry::{Entry, Id};

/// What a line says.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// There is this recording.
    Added(Box<Entry>),
    /// It is there no longer.
    Removed(Id),
}

/// The same, to be written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Said<'a> {
    Added(&'a Entry),
    Removed(&'a Id),
}

/// What can be read of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// All of it.
    Whole(Line),
    /// Whole it is, but it says something that this version has not heard of.
    Unknown,
    /// Not what was written.
    Damaged,
}

/// The line of a recording that there is, with its end of line.
pub(super) fn added(entry: &Entry) -> io::Result<String> {
    encode(&Said::Added(entry))
}

/// The line of a recording that is there no longer.
pub(super) fn removed(id: &Id) -> io::Result<String> {
    encode(&Said::Removed(id))
}

fn encode(said: &Said<'_>) -> io::Result<String> {
    let json = serde_json::to_string(said)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

/// Reads a line without its end of line.
pub(super) fn decode(line: &[u8]) -> Reading {
    let Some((checksum, [b' ', json @ ..])) = line.split_at_checked(8) else {
        return Reading::Damaged;
    };
    // compared as text, so that nothing but what is written passes
    if checksum != format!("{:08x}", crc32fast::hash(json)).as_bytes() {
        return Reading::Damaged;
    }
    serde_json::from_slice(json).map_or(Reading::Unknown, Reading::Whole)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entry = sample::entry(7, 0);
        let line = added(&entry).unwrap();
        assert_eq!(
            decode(line.trim_end().as_bytes()),
            Reading::Whole(Line::Added(Box::new(entry.clone())))
        );
        let line = removed(&entry.id).unwrap();
        assert_eq!(
            decode(line.trim_end().as_bytes()),
            Reading::Whole(Line::Removed(entry.id))
        );
    }

    #[test]
    fn any_changed_bit_and_any_missing_end_is_seen() {
        let line = added(&sample::entry(7, 0)).unwrap();
        let line = line.trim_end().as_bytes();
        for at in 0..line.len() {
            assert_eq!(decode(&line[..at]), Reading::Damaged, "cut at {at}");
            for bit in 0..8 {
                let mut changed = line.to_vec();
                changed[at] ^= 1 << bit;
                assert_eq!(decode(&changed), Reading::Damaged, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn what_another_version_says_is_whole_but_unknown() {
        let json = r#"{"archived":"a-1"}"#;
        let line = format!("{:08x} {json}", crc32fast::hash(json.as_bytes()));
        assert_eq!(decode(line.as_bytes()), Reading::Unknown);
    }
}
