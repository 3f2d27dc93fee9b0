//! The API's other half: recordings are begun and ended.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::daemon::control::Request;
use crate::daemon::entry::Id;
use crate::profile::View;

use super::App;
use super::access::Viewer;
use super::api;
use super::failure::Failure;

/// Bytes of a request's body.
pub const LARGEST_BODY: usize = 16 << 10;

/// How long it may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The longest recording that can be asked for, seconds.
const LONGEST: u64 = 24 * 3600;

/// The longest that a client can wait for, seconds.
const LONGEST_WAIT: u64 = 600;

/// How long storing may take after the recording's time: symbolizing a large program does.
const STORING: Duration = Duration::from_mins(2);

/// A request that is refused is refused within this time, mostly; who does not wait learns of it only then.
const REFUSAL: Duration = Duration::from_millis(250);

/// What to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The process.
    pub pid: u32,
    /// Of what.
    pub view: String,
    /// How long.
    pub seconds: u64,
}

/// What to end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The process.
    pub pid: u32,
    /// Of what.
    pub view: String,
}

/// What became of a request.
pub enum Begun {
    /// It is stored.
    Stored(Id),
    /// It goes on.
    Running,
}

impl App {
    /// Begins a recording, and waits for its end if asked to.
    pub async fn start(&self, viewer: Viewer, start: &Start, wait: bool) -> Result<Begun, Failure> {
        let view = api::view(&start.view)?;
        let longest = if wait { LONGEST_WAIT } else { LONGEST };
        if !(1..=longest).contains(&start.seconds) {
            return Err(Failure::bad(format!(
                "seconds must be from 1 to {longest}{}",
                if wait {
                    " when the answer waits for the recording"
                } else {
                    ""
                }
            )));
        }
        may_record(viewer, start.pid)?;
        let duration = Duration::from_secs(start.seconds);
        let (answer, answered) = oneshot::channel();
        let request = Request::Start {
            pid: start.pid,
            view,
            duration,
            only_uid: viewer.only_uid(),
            answer,
        };
        let patience = wait.then_some(duration + STORING);
        self.ask(request, answered, start.pid, view, patience).await
    }

    /// Ends a recording and waits until it is stored.
    pub async fn stop(&self, viewer: Viewer, stop: &Stop) -> Result<Begun, Failure> {
        let view = api::view(&stop.view)?;
        may_record(viewer, stop.pid)?;
        let (answer, answered) = oneshot::channel();
        let request = Request::Stop {
            pid: stop.pid,
            view,
            only_uid: viewer.only_uid(),
            answer,
        };
        self.ask(request, answered, stop.pid, view, Some(STORING))
            .await
    }

    /// Asks the supervisor. `patience`: how long to wait for the end; `None`: only whether it is refused.
    async fn ask(
        &self,
        request: Request,
        mut answered: oneshot::Receiver<Result<Id, String>>,
        pid: u32,
        view: View,
        patience: Option<Duration>,
    ) -> Result<Begun, Failure> {
        let Ok(asked) = Arc::clone(&self.asked).try_acquire_owned() else {
            return Err(Failure::busy(
                "too many recordings were asked for that have not ended; stop one, or wait",
            ));
        };
        if self.control.requests.try_send(request).is_err() {
            return Err(Failure::busy(
                "the daemon takes no requests at the moment: it is busy, or ending",
            ));
        }
        match tokio::time::timeout(patience.unwrap_or(REFUSAL), &mut answered).await {
            Ok(Ok(Ok(id))) => Ok(Begun::Stored(id)),
            Ok(Ok(Err(words))) => Err(Failure::new(StatusCode::CONFLICT, words)),
            Ok(Err(_)) => Err(Failure::busy("the daemon ended before the recording did")),
            Err(_) if patience.is_some() => Err(Failure::new(
                StatusCode::GATEWAY_TIMEOUT,
                "the recording is not stored yet; look for it in the list later",
            )),
            Err(_) => {
                tokio::spawn(async move {
                    if let Ok(Err(words)) = answered.await {
                        let view = view.name();
                        tracing::warn!(pid, view, "a recording that was asked for failed: {words}");
                    }
                    drop(asked);
                });
                Ok(Begun::Running)
            }
        }
    }
}

fn may_record(viewer: Viewer, pid: u32) -> Result<(), Failure> {
    if pid == 0 || pid > i32::MAX as u32 {
        return Err(Failure::bad("pid must be a process's id"));
    }
    if viewer.may_record(pid) {
        return Ok(());
    }
    // the same words for a process of somebody else's and for none
    Err(Failure::forbidden(format!(
        "process {pid} is not yours to record; only processes of your own user are, and root records any"
    )))
}

/// A body of JSON.
async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Failure> {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if !is_json {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, with `Content-Type: application/json`",
        ));
    }
    let body = whole(body).await?;
    serde_json::from_slice(&body).map_err(|error| Failure::bad(format!("the body: {error}")))
}

/// A body, which must not be large nor slow.
pub async fn whole(body: Body) -> Result<axum::body::Bytes, Failure> {
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {LARGEST_BODY} bytes, and must arrive whole"),
        )),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

/// `POST /api/v1/recordings`
pub async fn start(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct How {
        wait: Option<u8>,
    }
    let how: How = api::query(&uri)?;
    let start: Start = json(&headers, body).await?;
    let begun = app.start(viewer, &start, how.wait == Some(1)).await?;
    Ok(answer(begun, start.pid, &start.view))
}

/// `POST /api/v1/recordings/stop`, `DELETE /api/v1/recordings`
pub async fn stop(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let stop: Stop = json(&headers, body).await?;
    let begun = app.stop(viewer, &stop).await?;
    Ok(answer(begun, stop.pid, &stop.view))
}

fn answer(begun: Begun, pid: u32, view: &str) -> Response {
    match begun {
        Begun::Stored(id) => {
            let body = serde_json::json!({ "pid": pid, "view": view, "id": id });
            Json(body).into_response()
        }
        Begun::Running => {
            let body = serde_json::json!({ "pid": pid, "view": view });
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
    }
}
