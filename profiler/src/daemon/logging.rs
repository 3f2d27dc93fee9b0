//! Where the daemon's words go.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Begins. `level`: the least severe that is said. Under systemd words go to the journal, with their
/// fields; else to standard error as plain text.
pub fn begin(level: Level) -> anyhow::Result<()> {
    // What libraries say is of no use to who runs the daemon.
    let filter = Targets::new()
        .with_default(Level::WARN)
        .with_target(env!("CARGO_CRATE_NAME"), level);
    let registry = tracing_subscriber::registry().with(filter);
    // systemd.exec(5): set when standard error is the journal's.
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Ok(journal) = tracing_journald::layer()
    {
        return registry.with(journal).try_init().context("logging");
    }
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    registry.with(text).try_init().context("logging")
}
