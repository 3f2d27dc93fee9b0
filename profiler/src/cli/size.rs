//! Sizes as a user types them.

use bytesize::ByteSize;
use unfreed_common::sample::LARGEST_MEAN;

/// Parses the mean bytes between samples: `0`, `65536`, `512KiB`, `2MB`.
pub fn parse_mean(text: &str) -> Result<u64, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "a size is a number of bytes or such as 64KiB, 512KiB, 2MiB".to_owned())?;
    if size.as_u64() > LARGEST_MEAN {
        return Err(format!("at most {LARGEST_MEAN} bytes"));
    }
    Ok(size.as_u64())
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
}
