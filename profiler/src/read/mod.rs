//! Recordings read back: [`mod@crate::write`]'s JSON, schema 1, to the [`Profile`] that it was written of.
//!
//! What is read and written again is the same byte for byte, in every format (but for the version of the tool
//! in the JSON). The input can be anything: what is damaged, cut off, or says more than numbers can hold is an
//! error and never a panic, here or in a writer. Fields that are not known are ignored.

mod document;
mod number;
mod stack;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize as _;

use self::document::Document;
use crate::profile::Profile;

const BUFFER: usize = 64 * 1024;

/// What a gzipped file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads the JSON of a recording to its end. Memory is needed for the stacks and for each different frame
/// once. Fails with the line when it is not such a JSON, or not whole.
pub fn json(input: impl Read) -> anyhow::Result<Profile> {
    let input = BufReader::with_capacity(BUFFER, input);
    let mut input = serde_json::Deserializer::from_reader(input);
    Document::deserialize(&mut input)
        .and_then(|document| input.end().map(|()| document))
        .map_err(anyhow::Error::from)
        .and_then(Document::into_profile)
        .context("this is no recording in unfreed's JSON, or not a whole one")
}

/// Reads a file with such a JSON, plain or gzipped. Fails with the file's name.
pub fn file(path: &Path) -> anyhow::Result<Profile> {
    let reading = || format!("reading {}", path.display());
    let open = || {
        let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
        let gzipped = io::BufRead::fill_buf(&mut file)?.starts_with(&GZIP);
        Ok::<_, io::Error>((file, gzipped))
    };
    let (file, gzipped) = open().with_context(reading)?;
    if gzipped {
        json(MultiGzDecoder::new(file)).with_context(reading)
    } else {
        json(file).with_context(reading)
    }
}
