//! Why the store could not do what it was asked to.

use std::io;

use super::super::entry::Id;

/// Why not. After any of these the store is as it was before, and may be asked again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk, or the user's quota is used up: no recording can be kept until that changes.
    #[error(
        "the disk is full, so recordings are not kept ({doing}: {why}); free some space or lower the store's limits"
    )]
    Full {
        /// What was being done.
        doing: String,
        /// What the system says.
        why: io::Error,
    },
    /// There are files of a recording with this name, or somebody is writing one.
    #[error("there is a recording called {id} already; a name is given once")]
    Exists {
        /// The name.
        id: Id,
    },
    /// What is said of a recording cannot be true, so it is not kept.
    #[error("recording {id} is not kept: {why}")]
    Untrue {
        /// The draft's name.
        id: Id,
        /// What is wrong.
        why: String,
    },
    /// Anything else.
    #[error("{doing}: {why}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system says.
        why: io::Error,
    },
}

impl StoreError {
    /// `why` happened while `doing`.
    pub(super) fn new(doing: impl Into<String>, why: io::Error) -> Self {
        let doing = doing.into();
        if is_full(&why) {
            Self::Full { doing, why }
        } else {
            Self::Io { doing, why }
        }
    }

    /// Whether it is for want of room only.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

/// Whether `error` says that there is no room: `ENOSPC` or `EDQUOT`. Who writes into a draft meets these too.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
