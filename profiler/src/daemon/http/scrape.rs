//! `/debug/pprof/heap` and `/debug/pprof/pages`: where scrapers of profiles (Parca, Pyroscope's, Alloy) look.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;

use super::access::Viewer;
use super::failure::Failure;
use super::record::{Begun, Start};
use super::{App, api, formats};

/// `GET /debug/pprof/{view}?target=NAME[&seconds=N]`: the newest stored recording of the target; with `seconds`,
/// one that is made now, of the target's first process.
pub async fn newest(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Path(view): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    struct Which {
        target: Option<String>,
        seconds: Option<u64>,
    }
    // other fields are let pass: scrapers send some of their own
    let which: Which = api::query(&uri)?;
    let view = api::view(&view).map_err(|failure| Failure::missing(failure.words))?;
    let name = which.target.ok_or_else(|| {
        Failure::bad("say which target: ?target=NAME, as it is called in the configuration")
    })?;
    let entry = match which.seconds {
        None => app
            .entries(viewer)
            .into_iter()
            .find(|entry| entry.target == name && entry.view == view.name())
            .ok_or_else(|| {
                Failure::missing(format!(
                    "no {} recording of a target called {name:?} is stored; record one now with &seconds=10",
                    view.name()
                ))
            })?,
        Some(seconds) => {
            let status = app.status(viewer);
            let processes = status
                .targets
                .iter()
                .filter(|target| target.name == name)
                .flat_map(|target| &target.processes);
            let first = processes.map(|process| process.pid).min().ok_or_else(|| {
                Failure::missing(format!("no process of a target called {name:?} is running"))
            })?;
            let start = Start {
                pid: first,
                view: view.name().to_owned(),
                seconds,
            };
            match app.start(viewer, &start, true).await? {
                Begun::Stored(id) => app.entry(viewer, id.as_str())?,
                Begun::Running => return Err(Failure::busy("the recording is not stored yet")),
            }
        }
    };
    let writer = formats::writer(formats::PPROF)?;
    app.recording(&entry, writer, formats::options(None)?).await
}
