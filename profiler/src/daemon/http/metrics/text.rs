//! Labels, and the two text formats.

use axum::http::{HeaderMap, header};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};

use crate::daemon::status::Process;

/// Names and values, in order.
#[derive(Debug, Clone)]
pub struct Labels(Vec<(&'static str, String)>);

impl Labels {
    /// No labels.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of a process.
    pub fn of(target: &str, process: &Process) -> Self {
        Self::none()
            .with("target", target)
            .with("pid", &process.pid.to_string())
            .with("comm", &process.comm)
    }

    /// One more.
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut labels = self.0.clone();
        labels.push((name, escaped(value)));
        Self(labels)
    }
}

/// A value as both formats want it: the library writes values as they are.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, value) in &self.0 {
            (*name, value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// Whether the client reads `OpenMetrics`.
pub fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter();
    accepts
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains("application/openmetrics-text"))
}

/// The content type of either format.
pub fn content_type(open: bool) -> &'static str {
    if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

/// `OpenMetrics` in the older format: there a counter's family has the name of its samples, and neither units nor
/// an end are told.
pub fn classic(open: &str) -> String {
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let told = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "));
        match told.and_then(|told| told.split_once(' ')) {
            Some((name, rest)) if counters.contains(&name) => {
                let what = &line[..7];
                text.extend([what, name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
