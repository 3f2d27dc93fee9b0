//! What is in the directory when a daemon begins, and how what the last one left is put right.
//!
//! What a crash can leave (a draft, files without a line, a removal that was begun) is removed: nobody was told that
//! it is there. What only damage can make (a file of the wrong size, a line that is not what was written) is left
//! alone and named, as somebody may want to save it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;

use super::super::entry::{Entry, Id};
use super::disk::Disk;
use super::index::Contents;
use super::line::{self, Line, Reading};
use super::names::{self, Part};
use super::report::Report;

/// What there is of a recording.
#[derive(Default)]
struct Files {
    json: Option<u64>,
    pprof: Option<u64>,
    entry: bool,
    draft: bool,
}

impl Files {
    /// Whether they are the whole of what `entry` says.
    fn are(&self, entry: &Entry) -> State {
        match (self.json, self.pprof) {
            (Some(json), Some(pprof)) if json.checked_add(pprof) == Some(entry.size) => {
                State::Whole
            }
            (Some(_), Some(_)) => State::Damaged,
            _ => State::Incomplete,
        }
    }
}

#[derive(PartialEq)]
enum State {
    Whole,
    Damaged,
    Incomplete,
}

/// Looks through `directory`, and leaves in it only recordings that are whole (and what it must not touch).
pub(super) fn put_right(
    disk: &dyn Disk,
    directory: &Path,
    contents: &Contents,
    report: &mut Report,
) -> anyhow::Result<BTreeMap<Id, Entry>> {
    report.damaged_lines = contents.damaged;
    report.unknown_lines = contents.unknown;
    let mut opening = Opening {
        disk,
        directory,
        report,
        entries: BTreeMap::new(),
    };
    let mut found = opening.look()?;
    // a recording that has a line but no file at all is to be missed as well
    let all: BTreeSet<Id> = found
        .keys()
        .chain(contents.entries.keys())
        .cloned()
        .collect();
    for id in all {
        let files = found.remove(&id).unwrap_or_default();
        if files.draft {
            opening.remove_draft(&id);
        }
        match contents.entries.get(&id) {
            Some(entry) => opening.known(entry, &files),
            None => opening.unknown(&id, &files),
        }
    }
    Ok(opening.entries)
}

struct Opening<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
    report: &'a mut Report,
    entries: BTreeMap<Id, Entry>,
}

impl Opening<'_> {
    /// The files by recording.
    fn look(&mut self) -> anyhow::Result<BTreeMap<Id, Files>> {
        let mut found: BTreeMap<Id, Files> = BTreeMap::new();
        let reading = || format!("reading the directory {}", self.directory.display());
        for file in fs::read_dir(self.directory).with_context(reading)? {
            let file = file.with_context(reading)?;
            let name = file.file_name().to_string_lossy().into_owned();
            let Ok(metadata) = file.metadata() else {
                // gone meanwhile, which is what happens to the files of a worker that outlived its daemon
                continue;
            };
            match Part::parse(&name) {
                Some((id, Part::Draft)) if metadata.is_dir() => {
                    found.entry(id).or_default().draft = true;
                }
                Some((id, part)) if part != Part::Draft && metadata.is_file() => {
                    let files = found.entry(id).or_default();
                    match part {
                        Part::Json => files.json = Some(metadata.len()),
                        Part::Pprof => files.pprof = Some(metadata.len()),
                        Part::Entry | Part::Draft => files.entry = true,
                    }
                }
                _ if name == names::INDEX || name == names::LOCK => {}
                _ if name == names::NEXT_INDEX => self.unlink(&file.path()),
                // anybody's name, on its way to a log
                _ => self.report.foreign.push(name.escape_debug().to_string()),
            }
        }
        Ok(found)
    }

    /// The index has it.
    fn known(&mut self, entry: &Entry, files: &Files) {
        match files.are(entry) {
            State::Whole => {
                if !files.entry {
                    self.write_entry(entry);
                }
                self.entries.insert(entry.id.clone(), entry.clone());
            }
            State::Damaged => self.report.damaged.push(entry.id.to_string()),
            State::Incomplete => {
                self.report.incomplete.push(entry.id.to_string());
                self.remove(&entry.id);
            }
        }
    }

    /// The index does not have it, or not any more.
    fn unknown(&mut self, id: &Id, files: &Files) {
        if files.entry {
            self.beside(id, files);
        } else if files.json.is_some() || files.pprof.is_some() {
            // its line is written last: nobody was told of it
            self.remove_nameless(id, files);
        }
    }

    /// There is a line of it beside its files.
    fn beside(&mut self, id: &Id, files: &Files) {
        match self.read_entry(id) {
            Ok(Reading::Whole(Line::Added(entry))) if entry.id == *id => match files.are(&entry) {
                State::Whole => {
                    self.report.taken_up.push(id.to_string());
                    self.entries.insert(entry.id.clone(), *entry);
                }
                State::Damaged => self.report.damaged.push(id.to_string()),
                State::Incomplete => {
                    self.report.unfinished.push(id.to_string());
                    self.remove(id);
                }
            },
            Ok(Reading::Unknown) => self.report.of_other_version.push(id.to_string()),
            // It was whole before it got its name, so this is damage. If it cannot be read, nothing is known of it.
            Ok(_) | Err(_) => self.report.damaged.push(id.to_string()),
        }
    }

    fn read_entry(&self, id: &Id) -> io::Result<Reading> {
        let line = fs::read(self.directory.join(Part::Entry.name(id)))?;
        Ok(line
            .strip_suffix(b"\n")
            .map_or(Reading::Damaged, line::decode))
    }

    /// The index is whole, but what would replace it is missing.
    fn write_entry(&mut self, entry: &Entry) {
        let path = self.directory.join(Part::Entry.name(&entry.id));
        let written = line::added(entry).and_then(|line| self.disk.put(&path, line.as_bytes()));
        match written {
            Ok(()) => self.report.written_again.push(entry.id.to_string()),
            Err(error) => {
                self.report
                    .failed
                    .push(format!("{}: {error}", path.display()));
                // half of it would be damage to the next daemon
                let _ = self.disk.unlink(&path);
            }
        }
    }

    /// Removes files of a recording that was not finished, unless somebody else may have made them.
    fn remove_nameless(&mut self, id: &Id, files: &Files) {
        if names::made_here(id) {
            self.report.unfinished.push(id.to_string());
            self.remove(id);
            return;
        }
        let parts = [(Part::Json, files.json), (Part::Pprof, files.pprof)];
        for (part, size) in parts {
            if size.is_some() {
                self.report.foreign.push(part.name(id));
            }
        }
    }

    fn remove(&mut self, id: &Id) {
        for part in Part::FILES {
            self.unlink(&self.directory.join(part.name(id)));
        }
    }

    fn unlink(&mut self, path: &Path) {
        if let Err(error) = self.disk.unlink(path) {
            self.report
                .failed
                .push(format!("{}: {error}", path.display()));
        }
    }

    fn remove_draft(&mut self, id: &Id) {
        let name = Part::Draft.name(id);
        if !names::made_here(id) {
            self.report.foreign.push(name);
            return;
        }
        self.report.unfinished.push(id.to_string());
        let path = self.directory.join(name);
        if let Err(error) = fs::remove_dir_all(&path) {
            self.report
                .failed
                .push(format!("{}: {error}", path.display()));
        }
    }
}
