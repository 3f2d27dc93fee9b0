//! Where a result goes: standard output, or a file that is there whole or not at all.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::{Builder, NamedTempFile};

const BUFFER: usize = 64 * 1024;

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// The file of this name.
    File(PathBuf),
}

impl Destination {
    /// From the argument of `-o`: `-` is standard output (a file of that name is `./-`).
    pub fn parse(argument: &Path) -> Self {
        if argument == Path::new("-") {
            Self::Stdout
        } else {
            Self::File(argument.to_owned())
        }
    }

    /// Whether a result could be written there now. To be asked before recording, so that no
    /// recording is made in vain; leaves nothing behind.
    pub fn check_writable(&self) -> anyhow::Result<()> {
        let Self::File(path) = self else {
            return Ok(());
        };
        // followed: a link to a directory, or /dev/stdout, is what the user means, too
        if let Ok(metadata) = path.metadata()
            && !metadata.is_file()
        {
            // renaming the result over a device or a pipe would replace it
            bail!(
                "{} is there and is not a regular file: the result will not replace it; \
                 name a file with -o, or use `-o -` and redirect standard output",
                path.display()
            );
        }
        temporary(path).map(drop)
    }

    /// Has `body` write the result. Where that fails nothing is left in a file's directory, and a
    /// file of that name keeps its old content; where it succeeds the file is complete and has
    /// mode 0600. A link of that name is replaced, not followed. That the reader of standard
    /// output does not want more is no error.
    pub fn write(
        &self,
        body: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self::File(path) = self else {
            return stream(io::stdout().lock(), body).context("writing to standard output");
        };
        let writing = || format!("writing {}", path.display());
        let mut file = temporary(path)?;
        let mut buffered = BufWriter::with_capacity(BUFFER, file.as_file_mut());
        body(&mut buffered).with_context(writing)?;
        buffered.flush().with_context(writing)?;
        drop(buffered);
        file.persist(path).with_context(writing)?;
        Ok(())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => write!(f, "standard output"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A temporary file beside `path`, mode 0600, which is removed unless it is persisted.
fn temporary(path: &Path) -> anyhow::Result<NamedTempFile> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // "." says little to somebody who reads the message elsewhere
    let named = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let problem = |lack: &str, remedy: &str| {
        format!(
            "{} {lack}, so {} cannot be written: {remedy}",
            named.display(),
            path.display()
        )
    };
    match directory.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(problem(
            "does not exist",
            "create the directory, or choose another with -o"
        )),
        Ok(metadata) if !metadata.is_dir() => {
            bail!(problem("is not a directory", "choose a directory with -o"))
        }
        _ => {}
    }
    Builder::new()
        .prefix(".unfreed-")
        .suffix(".tmp")
        .tempfile_in(directory)
        .with_context(|| {
            problem(
                "takes no new file",
                "make it writable for this user, or choose another directory with -o",
            )
        })
}

/// Buffers `out` for `body`, and calls it success when the reader of `out` went away.
fn stream(
    out: impl Write,
    body: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut pipe = Pipe { out, broken: false };
    let mut buffered = BufWriter::with_capacity(BUFFER, &mut pipe);
    let result = body(&mut buffered).and_then(|()| Ok(buffered.flush()?));
    drop(buffered);
    if pipe.broken { Ok(()) } else { result }
}

/// Remembers that the pipe broke: the errors of serializers do not always tell.
struct Pipe<W> {
    out: W,
    broken: bool,
}

impl<W> Pipe<W> {
    fn seen<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.broken |= error.kind() == io::ErrorKind::BrokenPipe;
        }
        result
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.seen(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.seen(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn file(directory: &tempfile::TempDir, name: &str) -> Destination {
        Destination::parse(&directory.path().join(name))
    }

    fn entries(directory: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn refusal(destination: &Destination) -> String {
        format!("{:#}", destination.check_writable().unwrap_err())
    }

    #[test]
    fn dash_is_standard_output() {
        assert_eq!(Destination::parse(Path::new("-")), Destination::Stdout);
        for path in ["./-", "a-", ""] {
            let expected = Destination::File(PathBuf::from(path));
            assert_eq!(Destination::parse(Path::new(path)), expected);
        }
        Destination::Stdout.check_writable().unwrap();
        // in the working directory
        let here = Destination::parse(Path::new("some-name-nobody-has.svg"));
        here.check_writable().unwrap();
    }

    #[test]
    fn a_missing_directory_is_named_with_effect_and_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        assert_eq!(
            refusal(&file(&directory, "no/such/heap.svg")),
            format!(
                "{path}/no/such does not exist, so {path}/no/such/heap.svg cannot be written: \
                 create the directory, or choose another with -o"
            )
        );
    }

    #[test]
    fn a_file_is_not_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        let path = directory.path().display();
        assert_eq!(
            refusal(&file(&directory, "file/heap.svg")),
            format!(
                "{path}/file is not a directory, so {path}/file/heap.svg cannot be written: \
                 choose a directory with -o"
            )
        );
    }

    #[test]
    fn a_directory_that_takes_no_file_is_named_with_effect_and_remedy() {
        // /proc refuses even root, whom modes do not stop
        let message = refusal(&Destination::parse(Path::new("/proc/self/heap.svg")));
        let expected = "/proc/self takes no new file, so /proc/self/heap.svg cannot be written: \
                        make it writable for this user, or choose another directory with -o: ";
        assert!(message.starts_with(expected), "{message}");
    }

    #[test]
    fn what_is_not_a_regular_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("heap.svg")).unwrap();
        symlink("/dev/null", directory.path().join("null.svg")).unwrap();
        for name in ["heap.svg", "null.svg"] {
            let message = refusal(&file(&directory, name));
            assert!(message.contains("is not a regular file"), "{message}");
        }
    }

    #[test]
    fn a_check_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        file(&directory, "heap.svg").check_writable().unwrap();
        assert!(entries(&directory).is_empty());
    }

    #[test]
    fn a_file_is_complete_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heap.svg");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let large = vec![b'x'; 3 * BUFFER + 1];
        file(&directory, "heap.svg")
            .write(|out| Ok(out.write_all(&large)?))
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), large);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(entries(&directory), ["heap.svg"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heap.svg");
        fs::write(&path, "old").unwrap();
        let error = file(&directory, "heap.svg").write(|out| {
            out.write_all(&vec![b'x'; 3 * BUFFER])?;
            bail!("no more")
        });
        let expected = format!("writing {}: no more", path.display());
        assert_eq!(format!("{:#}", error.unwrap_err()), expected);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(&directory), ["heap.svg"]);
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_to_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("precious");
        fs::write(&target, "precious").unwrap();
        symlink(&target, directory.path().join("heap.svg")).unwrap();
        let destination = file(&directory, "heap.svg");
        destination.write(|out| Ok(out.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        let written = fs::read(directory.path().join("heap.svg")).unwrap();
        assert_eq!(written, b"new");
    }

    /// Takes `left` bytes, then fails.
    struct Failing {
        left: usize,
        with: io::ErrorKind,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            if taken == 0 {
                Err(self.with.into())
            } else {
                Ok(taken)
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_is_success_for_every_format() {
        let (profile, options) = (
            crate::write::sample::profile(),
            crate::write::Options::default(),
        );
        for writer in crate::write::WRITERS {
            for left in [0, 10] {
                let with = io::ErrorKind::BrokenPipe;
                stream(Failing { left, with }, |out| {
                    writer.write(&profile, &options, out)
                })
                .unwrap();
                let with = io::ErrorKind::StorageFull;
                stream(Failing { left, with }, |out| {
                    writer.write(&profile, &options, out)
                })
                .unwrap_err();
            }
        }
        // larger than the buffer: fails in the body, not in the last flush
        let large = vec![b'x'; 3 * BUFFER];
        let with = io::ErrorKind::BrokenPipe;
        stream(Failing { left: 1, with }, |out| {
            out.write_all(&large)
                .map_err(|_| anyhow::anyhow!("disguised"))
        })
        .unwrap();
    }
}
