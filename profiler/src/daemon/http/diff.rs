//! Two recordings of one view, compared.

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;

use crate::daemon::entry::Entry;
use crate::profile::Diff;
use crate::write::Options;

use super::access::Viewer;
use super::failure::Failure;
use super::render::spool;
use super::{App, api, formats, held};

/// What is compared, and how it is to be written.
pub struct Pair {
    /// The earlier one, as a rule.
    pub before: Entry,
    /// The later one.
    pub after: Entry,
    format: Option<String>,
    options: Options,
}

impl Pair {
    /// As asked for: `?before=ID&after=ID[&format=NAME][&weight=count]`. They must be of one view.
    pub fn of(app: &App, viewer: Viewer, uri: &Uri) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Which {
            before: Option<String>,
            after: Option<String>,
            format: Option<String>,
            weight: Option<String>,
        }
        let Which {
            before,
            after,
            format,
            weight,
        } = api::query(uri)?;
        let (Some(before), Some(after)) = (before, after) else {
            return Err(Failure::bad(
                "choose two recordings: ?before=ID&after=ID, with their names from the list",
            ));
        };
        let before = app.entry(viewer, &before)?;
        let after = app.entry(viewer, &after)?;
        if before.view != after.view {
            return Err(Failure::bad(format!(
                "a recording of {} and one of {} cannot be compared; choose two of one view",
                before.view, after.view
            )));
        }
        Ok(Self {
            before,
            after,
            format,
            options: formats::options(weight.as_deref())?,
        })
    }
}

impl App {
    /// What has changed between the two, and what `of` takes from it.
    pub async fn compare<T: Send + 'static>(
        &self,
        pair: &Pair,
        of: impl FnOnce(&Diff) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (app, before, after) = (self.clone(), pair.before.id.clone(), pair.after.id.clone());
        self.render(move || {
            let (before, after) = (app.read(&before)?, app.read(&after)?);
            let diff =
                Diff::of(&before, &after).map_err(|error| Failure::bad(format!("{error:#}")))?;
            of(&diff)
        })
        .await
    }
}

/// `GET /api/v1/diff`
pub async fn diff(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> Result<Response, Failure> {
    let pair = Pair::of(&app, viewer, &uri)?;
    let name = pair.format.as_deref().unwrap_or("svg");
    let writer = formats::writer::<Diff>(name)?;
    let options = pair.options.clone();
    let write = move |diff: &Diff| spool(|out| writer.write(diff, &options, out));
    let (file, size) = app.compare(&pair, write).await?;
    let mut response = held::file(file, size);
    let name = format!("unfreed-diff-{}-{}", pair.before.id, pair.after.id);
    formats::label(&mut response, &name, writer.name(), writer.extension());
    Ok(response)
}
