//! Waiting for a descriptor to become readable.

use std::os::fd::AsRawFd;

use anyhow::Context as _;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch the descriptor of `inner`: one that owns it, such as a pidfd or a ring buffer, and neither
/// closes nor replaces it as long as it lives.
pub fn watch<T: AsRawFd>(inner: T) -> anyhow::Result<AsyncFd<T>> {
    // SAFETY: `inner` owns its descriptor, is moved into the result, and neither closes nor replaces it before that is
    // dropped.
    unsafe { AsyncFd::register(inner) }
        .map_err(std::io::Error::from)
        .context("watching a file descriptor")
}
