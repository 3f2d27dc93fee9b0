//! The configuration as it is written. What one value alone can be wrong in is refused here; what several must
//! agree in is in [`super::rules`], which is why values know their place.

use serde::Deserialize;
use toml::Spanned;

use crate::daemon::trigger;
use crate::quantity::size::Size;
use crate::quantity::time::Time;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub sample_every: Option<Spanned<Time>>,
    pub http: Option<Http>,
    pub socket: Option<Socket>,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub target: Vec<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: Option<Spanned<String>>,
    pub token_file: Option<Spanned<String>>,
    pub hosts: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    pub path: Option<Spanned<String>>,
    pub group: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub directory: Option<Spanned<String>>,
    pub max_age: Option<Spanned<Time>>,
    pub max_count: Option<Spanned<i64>>,
    pub max_size: Option<Spanned<Size>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: Option<Level>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: Spanned<String>,
    pub exe: Option<Spanned<String>>,
    pub comm: Option<Spanned<String>>,
    pub cgroup: Option<Spanned<String>>,
    pub unit: Option<Spanned<String>>,
    pub container: Option<Spanned<String>>,
    pub views: Option<Spanned<Vec<Spanned<View>>>>,
    pub record: Option<Spanned<Record>>,
    pub window: Option<Spanned<Time>>,
    pub period: Option<Spanned<Time>>,
    pub min_age: Option<Spanned<Time>>,
    pub sample: Option<Spanned<Size>>,
    pub max_overhead: Option<Spanned<f64>>,
    pub max_processes: Option<Spanned<i64>>,
    pub max_age: Option<Spanned<Time>>,
    pub max_count: Option<Spanned<i64>>,
    pub max_size: Option<Spanned<Size>>,
    #[serde(default)]
    pub trigger: Vec<Spanned<trigger::Settings>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    Heap,
    Pages,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    #[default]
    Continuous,
    Every,
    Triggered,
}
