//! `/metrics`: the daemon's knowledge as `OpenMetrics`, or in Prometheus's older text format for whoever does not
//! ask for `OpenMetrics`. Made anew for each scrape, from living processes only: nothing accumulates here.

#[cfg(test)]
mod tests;
mod text;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::access::Viewer;
use super::failure::Failure;
use crate::daemon::status::{Health, Process, Running, Status};
use text::Labels;

/// Processes that have metrics of their own. More than that are a mistake in the configuration, and must not
/// become one in the monitoring.
const MOST_PROCESSES: usize = 500;

/// `GET /metrics`
pub async fn metrics(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let status = app.status(viewer);
    let open = text::wants_open_metrics(&headers);
    let text = render(&status, viewer, open)
        .map_err(|error| Failure::internal("writing the metrics", &error))?;
    let mut response = Response::new(text.into());
    let content_type = HeaderValue::from_static(text::content_type(open));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// All metrics that are for this viewer, as `OpenMetrics` or in the older format.
fn render(status: &Status, viewer: Viewer, open: bool) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot {
        status: status.clone(),
        whole: viewer == Viewer::All,
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(if open { text } else { text::classic(&text) })
}

/// The status at one moment.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    /// With what is of the daemon, and thereby of everybody's recordings.
    whole: bool,
}

type Written = Result<(), std::fmt::Error>;

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        let all = self.status.targets.iter().flat_map(|target| {
            let name = target.name.as_str();
            target.processes.iter().map(move |process| (name, process))
        });
        let (mut shown, mut left_out) = (Vec::new(), 0);
        for (target, process) in all {
            if shown.len() < MOST_PROCESSES {
                shown.push((Labels::of(target, process), process));
            } else {
                left_out += 1;
            }
        }
        of_processes(&mut encoder, &shown)?;
        of_recordings(&mut encoder, &shown)?;
        if !self.whole {
            return Ok(());
        }
        of_health(&mut encoder, &self.status.health)?;
        let help = "Processes of targets that have no metrics of their own, as there are too many";
        number(&mut encoder, "processes_left_out", help, None, left_out)?;
        of_ourselves(&mut encoder)
    }
}

fn of_processes(encoder: &mut DescriptorEncoder<'_>, shown: &[(Labels, &Process)]) -> Written {
    type Value = fn(&Process) -> Option<f64>;
    let families: [(&str, &str, Unit, Value); 3] = [
        (
            "target_rss",
            "Resident set size of a target's process",
            Unit::Bytes,
            |process| Some(process.rss as f64),
        ),
        (
            "target_vsz",
            "Virtual size of a target's process",
            Unit::Bytes,
            |process| Some(process.vsz as f64),
        ),
        (
            "target_growth",
            "By how much the resident set grows in a second",
            Unit::Other("bytes_per_second".to_owned()),
            |process| process.growth.filter(|growth| growth.is_finite()),
        ),
    ];
    for (name, help, unit, value) in families {
        let values = shown.iter().filter_map(|(labels, process)| {
            Some((labels.clone(), ConstGauge::new(value(process)?)))
        });
        family(encoder, name, help, Some(&unit), values)?;
    }
    Ok(())
}

fn of_recordings(encoder: &mut DescriptorEncoder<'_>, shown: &[(Labels, &Process)]) -> Written {
    let running = || {
        shown.iter().flat_map(|(labels, process)| {
            let recordings = process.recordings.iter();
            recordings.map(move |(view, running)| (labels.with("view", view), running))
        })
    };
    let gauges = |value: fn(&Running) -> Option<f64>| {
        running().filter_map(move |(labels, running)| {
            let value = value(running).filter(|value| value.is_finite())?;
            Some((labels, ConstGauge::new(value)))
        })
    };
    family(
        encoder,
        "unfreed",
        "Taken since the running recording began and not given back",
        Some(&Unit::Bytes),
        gauges(|running| Some(running.unfreed.bytes as f64)),
    )?;
    family(
        encoder,
        "unfreed_blocks",
        "The number of blocks or pages that unfreed_bytes are in",
        None,
        gauges(|running| Some(running.unfreed.count as f64)),
    )?;
    family(
        encoder,
        "recording_start_time",
        "When the running recording began, since the epoch",
        Some(&Unit::Seconds),
        gauges(|running| Some(running.since.as_millisecond() as f64 / 1000.0)),
    )?;
    family(
        encoder,
        "observed",
        "Which share of what the process did was observed; below 1 where the cost is bounded",
        Some(&Unit::Other("ratio".to_owned())),
        gauges(|running| Some(running.observed)),
    )?;
    family(
        encoder,
        "overhead",
        "What recording costs, in units of the process's own CPU time, where that is bounded",
        Some(&Unit::Other("ratio".to_owned())),
        gauges(|running| running.overhead),
    )?;
    let lost = running().flat_map(|(labels, running)| {
        let losses = running.losses.iter();
        losses.map(move |(reason, lost)| (labels.with("reason", reason), ConstCounter::new(*lost)))
    });
    family(
        encoder,
        "lost_events",
        "Events that the running recording has lost",
        None,
        lost,
    )
}

fn of_health(encoder: &mut DescriptorEncoder<'_>, health: &Health) -> Written {
    let Health {
        store_problem,
        recordings,
        stored_bytes,
        failed,
        not_stored,
        events_lost,
    } = health;
    let problem = u64::from(store_problem.is_some());
    let help = "Whether recordings cannot be stored, such as for a full disk";
    number(encoder, "store_problem", help, None, problem)?;
    let help = "Recordings in the store";
    number(encoder, "stored_recordings", help, None, *recordings)?;
    let help = "Size of the recordings in the store";
    number(encoder, "stored", help, Some(&Unit::Bytes), *stored_bytes)?;
    for (name, help, count) in [
        ("recordings_failed", "Recordings that failed", failed),
        (
            "recordings_not_stored",
            "Recordings that were not stored as the disk was full",
            not_stored,
        ),
        (
            "process_events_lost",
            "Events of processes (fork, exec, exit) that were not seen for want of room",
            events_lost,
        ),
    ] {
        let value = [(Labels::none(), ConstCounter::new(*count))];
        family(encoder, name, help, None, value.into_iter())?;
    }
    Ok(())
}

/// The daemon's own process, by the names that client libraries use. What cannot be read is absent.
fn of_ourselves(encoder: &mut DescriptorEncoder<'_>) -> Written {
    let Ok(process) = procfs::process::Process::myself() else {
        return Ok(());
    };
    if let Ok(stat) = process.stat() {
        let rss = stat.rss.saturating_mul(procfs::page_size());
        let help = "Resident set size of the daemon";
        number(encoder, "daemon_rss", help, Some(&Unit::Bytes), rss)?;
    }
    if let Ok(fds) = process.fd_count() {
        let help = "File descriptors that the daemon has open";
        number(encoder, "daemon_open_fds", help, None, fds as u64)?;
    }
    Ok(())
}

/// A gauge without labels.
fn number(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> Written {
    let value = [(Labels::none(), ConstGauge::new(value as f64))];
    family(encoder, name, help, unit, value.into_iter())
}

/// A family of metrics, all of whose names begin with `unfreed`; none if it is empty.
fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metrics: impl Iterator<Item = (Labels, M)>,
) -> Written {
    let mut metrics = metrics.peekable();
    let Some((_, first)) = metrics.peek() else {
        return Ok(());
    };
    let name = if name.starts_with("unfreed") {
        name.to_owned()
    } else {
        format!("unfreed_{name}")
    };
    let mut family = encoder.encode_descriptor(&name, help, unit, first.metric_type())?;
    for (labels, metric) in metrics {
        if labels.is_empty() {
            return metric.encode(family);
        }
        metric.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
