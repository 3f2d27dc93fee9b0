//! What systemd is told (`sd_notify(3)`). Without systemd all of it does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Everything is up.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] says when that is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!("the time cannot be read: {error}"),
    }
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What is being done, for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// How often [`alive`] is to be called, if at all: twice as often as systemd wants to hear it.
pub fn alive_every() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds)
        .then(|| Duration::from_micros(microseconds) / 2)
}

/// The supervisor goes on.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(false, state) {
        debug!("systemd cannot be told: {error}");
    }
}
