//! What the daemon shows: the page, the API and the metrics, over TCP and over a Unix socket. It sees the
//! supervisor through [`Control`] only, and the recordings through the [`Store`]; nothing here can end or slow
//! down a recording except by asking the supervisor to.

mod access;
mod api;
mod connections;
mod diff;
mod failure;
mod formats;
mod guard;
mod held;
mod listeners;
mod metrics;
mod pace;
mod page;
mod record;
mod render;
mod scrape;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

pub use access::{Access, AccessError};
pub use listeners::Listeners;

use super::control::Control;
use super::entry::{Entry, Id};
use super::status::{Health, Status};
use super::store::Store;
use access::{Peer, Viewer};
use connections::{Bounds, Connections};
use failure::Failure;

/// Recordings that are read and rendered at a time: each may take a processor and the memory of a large profile.
const RENDERS: usize = 2;

/// Recordings that clients have asked for and that are not stored yet.
const ASKED: usize = 32;

/// How long a request may take until its answer begins, unless it waits for a recording.
const LONGEST: Duration = Duration::from_mins(1);

/// What somebody hears of the store who is not to hear of others' recordings.
const STORE_PROBLEM: &str =
    "the service has a problem with its store, such as a full disk; root can see which";

/// How long answers that are on their way may take when the daemon ends.
const LAST: Duration = Duration::from_secs(2);

/// What the handlers share.
#[derive(Clone)]
struct App {
    control: Control,
    store: Arc<Store>,
    access: Arc<Access>,
    /// [`RENDERS`] permits.
    renders: Arc<Semaphore>,
    /// [`ASKED`] permits.
    asked: Arc<Semaphore>,
}

impl App {
    /// The state of things, as far as this viewer may know it.
    fn status(&self, viewer: Viewer) -> Arc<Status> {
        let status = Arc::clone(&self.control.status.borrow());
        let Viewer::Only(_) = viewer else {
            return status;
        };
        let mut status = Status::clone(&status);
        for target in &mut status.targets {
            target.processes.retain(|process| viewer.sees(process.uid));
            // of a process that is gone nobody knows whose it was
            let processes = &target.processes;
            target
                .fired
                .retain(|fired| processes.iter().any(|process| process.pid == fired.pid));
        }
        status.targets.retain(|target| !target.processes.is_empty());
        // how much others record, and with what success, is theirs to know
        let own = self.entries(viewer);
        status.health = Health {
            store_problem: status
                .health
                .store_problem
                .map(|_| STORE_PROBLEM.to_owned()),
            recordings: own.len() as u64,
            stored_bytes: own.iter().map(|entry| entry.size).sum(),
            ..Health::default()
        };
        Arc::new(status)
    }

    /// The recordings that this viewer may see, newest first.
    fn entries(&self, viewer: Viewer) -> Vec<Entry> {
        let entries = self.store.entries();
        let seen = entries.iter().filter(|entry| viewer.sees(entry.uid));
        seen.cloned().collect()
    }

    /// A recording by what somebody has typed. One that may not be seen is not there.
    fn entry(&self, viewer: Viewer, id: &str) -> Result<Entry, Failure> {
        Id::parse(id)
            .and_then(|id| self.store.get(&id))
            .filter(|entry| viewer.sees(entry.uid))
            .ok_or_else(|| {
                Failure::missing(
                    "there is no such recording; it may have been removed for its age, or to make room",
                )
            })
    }
}

/// Answers requests until `stop`; what is on its way then is finished within two seconds.
pub async fn serve(
    listeners: Listeners,
    access: Access,
    control: Control,
    store: Arc<Store>,
    stop: impl Future,
) -> anyhow::Result<()> {
    let app = App {
        control,
        store,
        access: Arc::new(access),
        renders: Arc::new(Semaphore::new(RENDERS)),
        asked: Arc::new(Semaphore::new(ASKED)),
    };
    serve_within(Bounds::default(), listeners, app, stop).await
}

async fn serve_within(
    bounds: Bounds,
    mut listeners: Listeners,
    app: App,
    stop: impl Future,
) -> anyhow::Result<()> {
    let (end, ending) = watch::channel(false);
    let connections = Connections::new(bounds, router(app), ending);
    let mut acceptors = tokio::task::JoinSet::new();
    for listener in std::mem::take(&mut listeners.tcp) {
        let listener = Arc::new(TcpListener::from_std(listener).context("using a bound address")?);
        acceptors.spawn(connections::accept(connections.clone(), move || {
            let listener = Arc::clone(&listener);
            async move {
                let (stream, _) = listener.accept().await?;
                // small answers must not wait for one another
                stream.set_nodelay(true)?;
                Ok((stream, Peer::Tcp))
            }
        }));
    }
    if let Some(listener) = listeners.unix.take() {
        let listener = Arc::new(UnixListener::from_std(listener).context("using the socket")?);
        acceptors.spawn(connections::accept(connections.clone(), move || {
            let listener = Arc::clone(&listener);
            async move {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((stream, Peer::Unix { uid }))
            }
        }));
    }
    stop.await;
    end.send_replace(true);
    while acceptors.join_next().await.is_some() {}
    connections::gone(&connections, LAST).await;
    Ok(())
}

fn router(app: App) -> Router {
    let quick = Router::new()
        .route("/", get(page::overview))
        .route("/recordings/{id}", get(page::recording))
        .route("/diff", get(page::diff))
        .route("/style.css", get(page::style))
        .route("/script.js", get(page::script))
        .route("/icon.svg", get(page::icon))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/targets", get(api::targets))
        .route("/api/v1/recordings/{id}", get(api::entry))
        .route("/api/v1/recordings/{id}/{format}", get(api::recording))
        .route("/api/v1/diff", get(diff::diff))
        .layer(middleware::from_fn(in_time));
    Router::new()
        .route("/record", post(page::record))
        .route("/stop", post(page::stop))
        .route(
            "/api/v1/recordings",
            get(api::recordings)
                .post(record::start)
                .delete(record::stop),
        )
        .route("/api/v1/recordings/stop", post(record::stop))
        .route("/debug/pprof/{view}", get(scrape::newest))
        .merge(quick)
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// Gives up what takes too long.
async fn in_time(request: axum::extract::Request, next: middleware::Next) -> Response {
    let uri = request.uri().clone();
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => page::failure_for(
            &uri,
            Failure::busy("this took too long; the machine or the disk is busy, try again later"),
        ),
    }
}

async fn nowhere(uri: Uri) -> Response {
    let words =
        "there is nothing of this name; / is the page, /api/v1/recordings the list of recordings";
    page::failure_for(&uri, Failure::missing(words))
}

async fn not_so(method: Method) -> Response {
    let words = format!("{method} is not for this address");
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, words).into_response()
}
