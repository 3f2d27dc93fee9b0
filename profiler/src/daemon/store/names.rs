//! How the store's files are called. All of a recording's names come from its [`Id`], so none can lead elsewhere.

use super::super::entry::Id;

/// Which recordings there are.
pub(super) const INDEX: &str = "index";
/// The next index, while it is written.
pub(super) const NEXT_INDEX: &str = "index.new";
/// Locked by the daemon that has the directory.
pub(super) const LOCK: &str = "lock";

/// What there is of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The profile as JSON.
    Json,
    /// The profile as pprof.
    Pprof,
    /// The recording's line of the index once more: it is found again by it when the index is damaged.
    Entry,
    /// The directory that it is written in before it is one.
    Draft,
}

impl Part {
    /// Its files. The first is what a removal takes away first.
    pub(super) const FILES: [Self; 3] = [Self::Json, Self::Pprof, Self::Entry];

    fn suffix(self) -> &'static str {
        match self {
            Self::Json => ".json",
            Self::Pprof => ".pb.gz",
            Self::Entry => ".entry.json",
            Self::Draft => ".draft",
        }
    }

    /// The name of this part of `id`.
    pub(super) fn name(self, id: &Id) -> String {
        format!("{id}{}", self.suffix())
    }

    /// Which part of which recording has this name, if any can.
    pub(super) fn parse(name: &str) -> Option<(Id, Self)> {
        // no name has a dot in it, so that only one of them fits
        [Self::Json, Self::Pprof, Self::Entry, Self::Draft]
            .into_iter()
            .find_map(|part| Some((Id::parse(name.strip_suffix(part.suffix())?)?, part)))
    }
}

/// Whether the name is one that [`Id::new`] makes: `notes.json` could be a recording's, but is somebody's notes.
pub(super) fn made_here(id: &Id) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = id.as_str().split('-');
    let (Some(time), Some(_view), Some(pid), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    time.split_once('t').is_some_and(|(day, time)| {
        day.len() == 8 && time.len() == 12 && digits(day) && digits(time)
    }) && digits(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::View;

    #[test]
    fn each_part_is_known_by_its_name() {
        let id = Id::new(
            "2026-03-04T05:06:07.891234Z".parse().unwrap(),
            View::Heap,
            42,
        );
        for part in [Part::Json, Part::Pprof, Part::Entry, Part::Draft] {
            assert_eq!(Part::parse(&part.name(&id)), Some((id.clone(), part)));
        }
        assert!(made_here(&id), "{id}");
        for foreign in [
            "index",
            "lock",
            ".json",
            "A.json",
            "a.b.json",
            "a.json.tmp",
            "../a.json",
        ] {
            assert_eq!(Part::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_people_call_their_files_is_not_made_here() {
        for name in [
            "notes",
            "2026-heap-1",
            "20260304t050607-heap-1",
            "20260304t050607891234-heap-x",
            "20260304t050607891234-heap-1-2",
        ] {
            assert!(!made_here(&Id::parse(name).unwrap()), "{name}");
        }
    }
}
