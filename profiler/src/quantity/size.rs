//! Sizes as a user types them.

use std::fmt;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use unfreed_common::sample::LARGEST_MEAN;

const ADVICE: &str = "a size is a number of bytes or such as 64KiB, 512KiB, 2MiB";

/// Parses a number of bytes: `0`, `65536`, `512KiB`, `2MB`.
pub fn parse(text: &str) -> Result<u64, String> {
    let size: ByteSize = text.parse().map_err(|_| ADVICE.to_owned())?;
    Ok(size.as_u64())
}

/// Parses the mean bytes between samples.
pub fn parse_mean(text: &str) -> Result<u64, String> {
    check_mean(parse(text)?)
}

/// Whether `size` can be the mean bytes between samples.
pub fn check_mean(size: u64) -> Result<u64, String> {
    if size > LARGEST_MEAN {
        return Err(format!("at most {LARGEST_MEAN} bytes"));
    }
    Ok(size)
}

/// A size in a configuration: a string as [`parse`] takes it, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Typed)
    }
}

struct Typed;

impl Visitor<'_> for Typed {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"512KiB\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        parse(text).map(Size).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes)
            .map(Size)
            .map_err(|_| E::custom(ADVICE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("512KiB", 512 << 10),
            ("512 KiB", 512 << 10),
            ("2MB", 2_000_000),
            ("16GiB", LARGEST_MEAN),
        ] {
            assert_eq!(parse_mean(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_or_too_large_is_refused() {
        for (text, word) in [
            ("", "512KiB"),
            ("-1", "512KiB"),
            ("x", "512KiB"),
            ("17GiB", "at most"),
        ] {
            let error = parse_mean(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_configuration_has_sizes_as_text_or_bytes() {
        let read = |json: &str| serde_json::from_str::<Size>(json).map(|size| size.0);
        assert_eq!(read("\"1GiB\"").ok(), Some(1 << 30));
        assert_eq!(read("4096").ok(), Some(4096));
        for json in ["-5", "5.5", "\"x\"", "[]"] {
            let error = read(json).expect_err(json).to_string();
            assert!(error.contains("a size"), "{json}: {error}");
        }
    }
}
