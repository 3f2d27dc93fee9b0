//! Why a request was not answered as asked. To programs as JSON, `{"error": "..."}`; to a browser as a page.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The status, and the lack in words.
#[derive(Debug)]
pub struct Failure {
    /// Status of the answer.
    pub status: StatusCode,
    /// For a person: what is the matter and what can be done.
    pub words: String,
}

impl Failure {
    /// With this status.
    pub fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self {
            status,
            words: words.into(),
        }
    }

    /// 400.
    pub fn bad(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    /// 403.
    pub fn forbidden(words: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, words)
    }

    /// 404.
    pub fn missing(words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, words)
    }

    /// 503.
    pub fn busy(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }

    /// 500, and a line in the log.
    pub fn internal(doing: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "failed at {doing}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed at {doing}: {error}"),
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, words } = self;
        let mut response = (status, Json(serde_json::json!({ "error": words }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme =
                header::HeaderValue::from_static("Basic realm=\"unfreed\", charset=\"UTF-8\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
