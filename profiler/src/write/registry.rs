//! Which formats there are of what, and how one is found.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::Writer;

/// What can be written, in some formats.
pub trait Written: Sized + 'static {
    /// Every format there is of it.
    const WRITERS: &'static [&'static dyn Writer<Self>];
}

/// The writer with this name.
pub fn by_name<T: Written>(name: &str) -> anyhow::Result<&'static dyn Writer<T>> {
    T::WRITERS
        .iter()
        .find(|writer| writer.name() == name)
        .copied()
        .with_context(|| {
            format!(
                "no output format is called {name:?}; there are {}",
                names::<T>().join(", ")
            )
        })
}

/// The writer for a file of this name, by its extension; where several fit, by the longest.
pub fn by_path<T: Written>(path: &Path) -> anyhow::Result<&'static dyn Writer<T>> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let fitting = T::WRITERS.iter().filter(|writer| {
        file.strip_suffix(writer.extension())
            .is_some_and(|stem| stem.ends_with('.'))
    });
    if let Some(writer) = fitting.max_by_key(|writer| writer.extension().len()) {
        return Ok(*writer);
    }
    bail!(
        "the extension of {} does not tell the output format; it must be one of {}",
        path.display(),
        extensions::<T>().join(", ")
    )
}

/// The names of all formats.
pub fn names<T: Written>() -> Vec<&'static str> {
    T::WRITERS.iter().map(|writer| writer.name()).collect()
}

/// The extensions of all formats, with the leading dot.
pub fn extensions<T: Written>() -> Vec<String> {
    let extensions = T::WRITERS.iter().map(|writer| writer.extension());
    extensions
        .map(|extension| format!(".{extension}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Diff, Profile};

    fn every_writer_is_found<T: Written>() {
        for writer in T::WRITERS {
            let (name, extension) = (writer.name(), writer.extension());
            assert_eq!(by_name::<T>(name).unwrap().name(), name);
            let path = format!("some.dir/a.b.{extension}");
            assert_eq!(by_path::<T>(Path::new(&path)).unwrap().name(), name);
        }
        let mut names = names::<T>();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), T::WRITERS.len());
        let mut extensions = extensions::<T>();
        extensions.sort_unstable();
        extensions.dedup();
        assert_eq!(extensions.len(), T::WRITERS.len());
    }

    #[test]
    fn every_writer_is_found_by_its_own_name_and_extension() {
        every_writer_is_found::<Profile>();
        every_writer_is_found::<Diff>();
    }

    #[test]
    fn an_unknown_format_is_answered_with_those_there_are() {
        let error = by_name::<Profile>("xml").err().unwrap().to_string();
        assert_eq!(
            error,
            "no output format is called \"xml\"; there are folded, svg, json, text, pprof"
        );
        let error = by_name::<Diff>("pprof").err().unwrap().to_string();
        assert_eq!(
            error,
            "no output format is called \"pprof\"; there are folded, svg, svg-before, json, text"
        );
    }

    #[test]
    fn an_unknown_extension_is_answered_with_those_there_are() {
        for path in ["heap.xml", "heap", "svg", "..", "heap.svg.gz", "heapsvg"] {
            let error = by_path::<Profile>(Path::new(path)).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!(
                    "the extension of {path} does not tell the output format; \
                     it must be one of .folded, .svg, .json, .txt, .pb.gz"
                )
            );
        }
    }
}
