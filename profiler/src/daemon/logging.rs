//! Where the daemon's words go.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;

use anyhow::Context as _;
use tracing::Level;
use tracing_journald::{Priority, PriorityMappings};
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
    if is_journal(
        std::env::var_os("JOURNAL_STREAM").as_deref(),
        std::io::stderr(),
    ) && let Ok(journal) = tracing_journald::layer()
    {
        let journal = journal
            .with_field_prefix(Some("UNFREED".to_owned()))
            .with_priority_mappings(PriorityMappings {
                info: Priority::Informational,
                debug: Priority::Debug,
                ..PriorityMappings::new()
            });
        return registry.with(journal).try_init().context("logging");
    }
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    registry.with(text).try_init().context("logging")
}

/// Whether this is the journal's end of a stream. `named`: device and inode of one that is, which whatever was started
/// since inherits, too, also where its own output goes elsewhere (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal(named: Option<&OsStr>, stream: impl AsFd) -> bool {
    nix::sys::stat::fstat(stream).is_ok_and(|stream| {
        let this = format!("{}:{}", stream.st_dev, stream.st_ino);
        named == Some(OsStr::new(&this))
    })
}
