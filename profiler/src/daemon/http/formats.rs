//! In which formats a recording is had, and what a browser is told of each.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::daemon::entry::Id;
use crate::profile::{Diff, Profile};
use crate::write::registry::{self, Written};
use crate::write::{Options, Weigh, Writer};

use super::failure::Failure;

/// The format that is stored beside the JSON.
pub const PPROF: &str = "pprof";

/// The format that is stored and that the others are made of.
pub const JSON: &str = "json";

/// A flame graph is a document with a script of its own, and with names that the recorded program has chosen.
/// It may run that script and nothing else: no requests, not our origin, nobody's frame but ours.
const GRAPH_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                            sandbox allow-scripts allow-modals; frame-ancestors 'self'";

/// The names of a recording's formats, in the order of the downloads.
pub fn names() -> Vec<&'static str> {
    registry::names::<Profile>()
}

/// The names of a comparison's formats.
pub fn diff_names() -> Vec<&'static str> {
    registry::names::<Diff>()
}

/// The writer of this name, of a recording or of a comparison.
pub fn writer<T: Written>(name: &str) -> Result<&'static dyn Writer<T>, Failure> {
    registry::by_name(name).map_err(|error| Failure::missing(format!("{error:#}")))
}

/// How to write, as asked for in an address: `weight=bytes`, `weight=count` or nothing.
pub fn options(weight: Option<&str>) -> Result<Options, Failure> {
    let weight = match weight {
        None | Some("bytes") => Weigh::Bytes,
        Some("count") => Weigh::Count,
        Some(_) => return Err(Failure::bad("weight is bytes or count")),
    };
    Ok(Options {
        weight,
        ..Options::default()
    })
}

/// Whether files of this extension are flame graphs, of whichever kind.
fn is_graph(extension: &str) -> bool {
    extension.rsplit('.').next() == Some("svg")
}

/// The content type of a format.
fn content_type(format: &str, extension: &str) -> &'static str {
    match format {
        _ if is_graph(extension) => "image/svg+xml",
        JSON => "application/json",
        "text" | "folded" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Says in an answer's headers that it is this format of something of this name: shown by a browser that can, and
/// saved under a telling name.
pub fn label(response: &mut Response, name: &str, format: &str, extension: &str) {
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(content_type(format, extension));
    headers.insert(header::CONTENT_TYPE, content_type);
    let how = if format == PPROF {
        "attachment"
    } else {
        "inline"
    };
    let disposition = format!("{how}; filename=\"{name}.{extension}\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    if is_graph(extension) {
        let policy = HeaderValue::from_static(GRAPH_POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// What the file of a recording is called when it is saved.
pub fn file_name(id: &Id) -> String {
    format!("unfreed-{id}")
}
