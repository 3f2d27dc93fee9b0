//! The API's reading half. Every list and text here is as much of the daemon's knowledge as the viewer may have.

use axum::Extension;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::daemon::entry::{Entry, Id};
use crate::daemon::status::{Status, Target};
use crate::profile::View;

use super::App;
use super::access::Viewer;
use super::failure::Failure;
use super::formats;

/// The answer, or why there is none.
type Answer = Result<Response, Failure>;

/// Entries of a list, unless asked otherwise.
const LIMIT: usize = 100;

/// At most.
const MOST: usize = 1000;

/// What is behind the `?` of an address. What is not known there is an error: it would be a mistyped filter.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    match Query::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Failure::bad(error.body_text())),
    }
}

/// The view of this name.
pub fn view(name: &str) -> Result<View, Failure> {
    View::ALL
        .iter()
        .copied()
        .find(|view| view.name() == name)
        .ok_or_else(|| Failure::bad(format!("no view is called {name:?}; there are heap, pages")))
}

/// Which recordings of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of this target.
    pub target: Option<String>,
    /// Of this view.
    pub view: Option<String>,
    /// Of this process.
    pub pid: Option<u32>,
    /// Older than this one, for the next part of a long list.
    pub before: Option<String>,
    /// So many.
    pub limit: Option<usize>,
}

impl Filter {
    /// Those that pass, and whether there are more.
    pub fn pass(&self, entries: Vec<Entry>) -> Result<(Vec<Entry>, bool), Failure> {
        let limit = self.limit.unwrap_or(LIMIT).clamp(1, MOST);
        // an empty field of a form is none
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (target, view) = (set(&self.target), set(&self.view));
        let before = match set(&self.before) {
            None => None,
            Some(id) => {
                Some(Id::parse(&id).ok_or_else(|| Failure::bad("before is no recording's name"))?)
            }
        };
        let mut passed: Vec<_> = entries
            .into_iter()
            .filter(|entry| target.as_ref().is_none_or(|target| *target == entry.target))
            .filter(|entry| view.as_ref().is_none_or(|view| *view == entry.view))
            .filter(|entry| self.pid.is_none_or(|pid| pid == entry.pid))
            .filter(|entry| before.as_ref().is_none_or(|before| entry.id < *before))
            .take(limit + 1)
            .collect();
        let more = passed.len() > limit;
        passed.truncate(limit);
        Ok((passed, more))
    }
}

/// What a user hears of the state of things: without the figures that come of others' recordings.
#[derive(Serialize)]
struct Own<'a> {
    targets: &'a [Target],
    health: OwnHealth<'a>,
}

/// Of the service, as far as it concerns one user.
#[derive(Serialize)]
struct OwnHealth<'a> {
    store_problem: Option<&'a str>,
    recordings: u64,
    stored_bytes: u64,
}

/// `GET /api/v1/targets`
pub async fn targets(State(app): State<App>, Extension(viewer): Extension<Viewer>) -> Answer {
    let status = app.status(viewer);
    if viewer == Viewer::All {
        return Ok(Json(&*status).into_response());
    }
    let Status { targets, health } = &*status;
    Ok(Json(Own {
        targets,
        health: OwnHealth {
            store_problem: health.store_problem.as_deref(),
            recordings: health.recordings,
            stored_bytes: health.stored_bytes,
        },
    })
    .into_response())
}

/// `GET /api/v1/recordings`
pub async fn recordings(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> Answer {
    #[derive(Serialize)]
    struct List {
        recordings: Vec<Entry>,
        more: bool,
    }
    let filter: Filter = query(&uri)?;
    let (recordings, more) = filter.pass(app.entries(viewer))?;
    Ok(Json(List { recordings, more }).into_response())
}

/// `GET /api/v1/recordings/{id}`
pub async fn entry(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Answer {
    Ok(Json(app.entry(viewer, &id)?).into_response())
}

/// `GET /api/v1/recordings/{id}/{format}`
pub async fn recording(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Path((id, format)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    #[derive(Deserialize)]
    struct How {
        weight: Option<String>,
    }
    // no unknown fields are refused here: a flame graph keeps in its address what it is zoomed to
    let how: How = query(&uri)?;
    let entry = app.entry(viewer, &id)?;
    let writer = formats::writer(&format)?;
    let options = formats::options(how.weight.as_deref())?;
    app.recording(&entry, writer, options).await
}
