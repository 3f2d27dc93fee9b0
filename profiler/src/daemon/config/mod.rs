//! The daemon's configuration: a TOML file in, resolved settings out. Every key is described in the sample,
//! `packaging/config.toml`.

mod document;
mod problem;
mod rules;
mod settings;
mod target;

#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub use problem::{ConfigError, Problem};
pub use settings::{Config, Http, Socket, Store};
pub use target::{Schedule, Target};

/// The largest there may be, bytes. What is larger is no configuration but some other file.
const LARGEST: u64 = 1 << 20;

/// Reads the file `path`.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let wrong = |problems| ConfigError::Wrong {
        path: path.to_owned(),
        problems,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        wrong(vec![Problem::at(
            &before,
            before.len(),
            "not UTF-8, which TOML is written in",
        )])
    })?;
    Config::parse(text).map_err(wrong)
}

impl Config {
    /// Reads the text of a configuration. Fails with all that is wrong; with the first problem alone where the
    /// text cannot be understood behind it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let document = toml::from_str(text).map_err(|error| {
            let begin = error.span().map_or(0, |span| span.start);
            vec![Problem::at(text, begin, error.message())]
        })?;
        rules::resolve(document).map_err(|found| {
            let place = |(at, message): (usize, String)| Problem::at(text, at, &message);
            found.into_iter().map(place).collect()
        })
    }
}
