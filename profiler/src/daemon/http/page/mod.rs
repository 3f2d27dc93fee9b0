//! The page: made on the server, with one style and a few lines of script; it needs nothing from elsewhere.
//! Whatever comes from outside (names of processes, functions, files) is escaped by maud, and cleaned of what
//! would reorder or hide text.

mod chart;
mod diff;
mod figures;
mod list;
mod overview;
mod process;
mod recording;
mod table;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, body::Body};
use maud::{DOCTYPE, Markup, html};

use super::access::Viewer;
use super::api::{self, Filter};
use super::failure::Failure;
use super::record::{self, Start, Stop};
use super::{App, diff as compared};

/// The style of every page.
const STYLE: &str = include_str!("style.css");

/// What a browser shows beside the title: steps that grow.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="#2f7d4f"><path d="M1 10h3v5H1zM6 6h3v9H6z"/></g><path fill="#a8200d" d="M11 1h4v14h-4z"/></svg>"##;

/// Keeps a comparison within one view. The page works without it.
const SCRIPT: &str = include_str!("script.js");

/// A whole page.
fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - unfreed" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                script src="/script.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header #top {
                    a.brand href="/" { "unfreed" }
                    nav aria-label="Pages" {
                        a href="/#targets" { "Targets" }
                        a href="/#recordings" { "Recordings" }
                        a href="/metrics" { "Metrics" }
                        a href="/api/v1/targets" { "API" }
                    }
                    span.now { "as of " (figures::time(jiff::Timestamp::now())) }
                }
                main #main { (body) }
            }
        }
    }
}

/// A page, or the page that says why there is none.
fn answer(page: Result<Markup, Failure>) -> Response {
    match page {
        Ok(markup) => shown(StatusCode::OK, markup),
        Err(failure) => failed(&failure),
    }
}

fn shown(status: StatusCode, markup: Markup) -> Response {
    let mut response = Response::new(Body::from(markup.into_string()));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

fn failed(failure: &Failure) -> Response {
    let title = failure.status.canonical_reason().unwrap_or("This failed");
    let body = html! {
        h1 { (title) }
        p #problem role="alert" { (failure.words) }
        p { a href="/" { "Back to targets and recordings" } }
    };
    shown(failure.status, document(title, &body))
}

/// The failure as whoever asks for this address reads it: programs JSON, people a page.
pub fn failure_for(uri: &Uri, failure: Failure) -> Response {
    let for_programs = ["/api/", "/debug/", "/metrics"];
    let program = for_programs
        .iter()
        .any(|start| uri.path().starts_with(start));
    // the browser asks for the password only when it is told to, which the plain answer does
    if program || failure.status == StatusCode::UNAUTHORIZED {
        return failure.into_response();
    }
    failed(&failure)
}

/// `GET /`
pub async fn overview(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> Response {
    let page = || {
        let filter: Filter = api::query(&uri)?;
        let (entries, more) = filter.pass(app.entries(viewer))?;
        let listed = overview::Listed {
            filter,
            entries,
            more,
        };
        Ok(overview::page(&app.status(viewer), &listed))
    };
    answer(page())
}

/// `GET /recordings/{id}`
pub async fn recording(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Response {
    answer(recording_page(&app, viewer, &id).await)
}

async fn recording_page(app: &App, viewer: Viewer, id: &str) -> Result<Markup, Failure> {
    let entry = app.entry(viewer, id)?;
    let all = app.entries(viewer);
    // a recording that cannot be read still has its place and its files
    let (reader, of) = (app.clone(), entry.id.clone());
    let read = app.render(move || Ok(recording::Content::of(&reader.read(&of)?)));
    let content = read.await.map_err(|failure| failure.words);
    Ok(recording::page(&entry, &all, content.as_ref()))
}

/// `GET /diff?before=ID&after=ID`
pub async fn diff(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
) -> Response {
    let pair = match compared::Pair::of(&app, viewer, &uri) {
        Ok(pair) => pair,
        Err(failure) => return failed(&failure),
    };
    let content = app.compare(&pair, |diff| Ok(diff::Content::of(diff))).await;
    answer(content.map(|content| diff::page(&pair, &content)))
}

/// `POST /record`: a form of the page.
pub async fn record(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    body: Body,
) -> Response {
    let begun = async {
        let start: Start = form(body).await?;
        app.start(viewer, &start, false).await
    };
    back(begun.await)
}

/// `POST /stop`: a form of the page.
pub async fn stop(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    body: Body,
) -> Response {
    let ended = async {
        let stop: Stop = form(body).await?;
        app.stop(viewer, &stop).await
    };
    back(ended.await)
}

/// To the recording that is stored now, or to the overview.
fn back(begun: Result<record::Begun, Failure>) -> Response {
    let place = match begun {
        Ok(record::Begun::Stored(id)) => format!("/recordings/{id}"),
        Ok(record::Begun::Running) => "/".to_owned(),
        Err(failure) => return failed(&failure),
    };
    axum::response::Redirect::to(&place).into_response()
}

/// A form's fields, which are written like what is behind an address's `?`.
async fn form<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, Failure> {
    let body = record::whole(body).await?;
    let unfit = || Failure::bad("this is not the page's form");
    let fields = std::str::from_utf8(&body).map_err(|_| unfit())?;
    let uri: Uri = format!("/?{fields}").parse().map_err(|_| unfit())?;
    api::query(&uri)
}

/// `GET /style.css`
pub async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /icon.svg`
pub async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

/// `GET /script.js`
pub async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
