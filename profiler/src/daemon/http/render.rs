//! Reading and rendering recordings, which takes a processor and memory: never on the thread that serves, and
//! only so many at a time.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;

use crate::daemon::entry::{Entry, Id};
use crate::daemon::store::StoreError;
use crate::profile::Profile;
use crate::write::{Options, Writer};

use super::failure::Failure;
use super::formats::{self, JSON, PPROF};
use super::{App, held};

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest recording that is read here, bytes of its JSON: in memory it is several times as much.
const LARGEST: u64 = 128 << 20;

impl App {
    /// Does what takes long on a thread of its own, when its turn comes. Once begun it is finished, also when
    /// the client has gone: its turn lasts until then.
    pub async fn render<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = Arc::clone(&self.renders).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turn).await else {
            return Err(Failure::busy(
                "too many recordings are being rendered; try again later, or fetch the JSON and use \
                 `unfreed report`",
            ));
        };
        let work = move || {
            let result = work();
            drop(turn);
            result
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(Failure::internal("rendering a recording", &error)),
        }
    }

    /// Reads a recording; blocks.
    pub fn read(&self, id: &Id) -> Result<Profile, Failure> {
        let file = found(self.store.json(id))?;
        let size = size(&file)?;
        if size > LARGEST {
            return Err(Failure::new(
                axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "this recording's JSON has {} and is not rendered here, to spare memory; fetch it and use \
                     `unfreed report`",
                    crate::write::human::bytes(size)
                ),
            ));
        }
        crate::read::json(BufReader::new(file)).map_err(|error| {
            Failure::internal("reading a stored recording", &format_args!("{error:#}"))
        })
    }

    /// A recording in a format: as it is stored where it is, else rendered.
    pub async fn recording(
        &self,
        entry: &Entry,
        writer: &'static dyn Writer,
        options: Options,
    ) -> Result<Response, Failure> {
        let (app, id) = (self.clone(), entry.id.clone());
        let (file, size) = match writer.name() {
            JSON | PPROF => {
                let pprof = writer.name() == PPROF;
                let open = move || {
                    let file = found(if pprof {
                        app.store.pprof(&id)
                    } else {
                        app.store.json(&id)
                    })?;
                    let size = size(&file)?;
                    Ok((file, size))
                };
                match tokio::task::spawn_blocking(open).await {
                    Ok(opened) => opened?,
                    Err(error) => return Err(Failure::internal("opening a recording", &error)),
                }
            }
            _ => {
                self.render(move || {
                    let profile = app.read(&id)?;
                    spool(|out| writer.write(&profile, &options, out))
                })
                .await?
            }
        };
        let mut response = held::file(file, size);
        let name = formats::file_name(&entry.id);
        formats::label(&mut response, &name, writer.name(), writer.extension());
        Ok(response)
    }
}

/// What is written, in a file without a name: clients that read slowly then take no memory.
pub fn spool(
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> Result<(File, u64), Failure> {
    let spooled = || -> anyhow::Result<(File, u64)> {
        let mut out = BufWriter::new(tempfile::tempfile()?);
        write(&mut out)?;
        let mut file = out.into_inner()?;
        let size = file.stream_position()?;
        file.seek(SeekFrom::Start(0))?;
        Ok((file, size))
    };
    spooled()
        .map_err(|error| Failure::internal("rendering a recording", &format_args!("{error:#}")))
}

/// The file, or why there is none.
fn found(file: Result<Option<File>, StoreError>) -> Result<File, Failure> {
    match file {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(Failure::missing("this recording has just been removed")),
        Err(error) => Err(Failure::internal("opening a recording", &error)),
    }
}

fn size(file: &File) -> Result<u64, Failure> {
    let metadata = file.metadata();
    let metadata = metadata.map_err(|error| Failure::internal("opening a recording", &error))?;
    Ok(metadata.len())
}
