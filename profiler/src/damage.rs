//! Damaged copies of a file, for the tests of what reads files that are not trusted.

use proptest::prelude::*;

/// Some bytes are others, anywhere, and perhaps the end is missing.
pub fn anywhere(file: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20);
    let keep = any::<Option<prop::sample::Index>>();
    let file = file.to_vec();
    (changes, keep).prop_map(move |(changes, keep)| {
        let mut file = file.clone();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(keep) = keep {
            file.truncate(keep.index(file.len()));
        }
        file
    })
}

/// Where it hurts: the headers of an ELF file, within 1000 bytes of its beginning and 2000 of its end.
pub fn in_headers(file: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let byte = prop::sample::select(vec![0, 1, 8, 0x7f, 0x80, 0xff]);
    let changes = prop::collection::vec((0..3000_usize, byte), 1..8);
    let file = file.to_vec();
    changes.prop_map(move |changes| {
        let mut file = file.clone();
        for (at, byte) in changes {
            let at = if at < 1000 {
                at
            } else {
                file.len() - (at - 999)
            };
            file[at] = byte;
        }
        file
    })
}
