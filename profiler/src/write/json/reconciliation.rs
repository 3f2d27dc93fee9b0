//! The JSON of a [`Reconciliation`]. All in bytes, but for times.

use serde::Serialize;

use crate::profile::{ByKind, GivenBackLazily, Kind, Reconciliation, Resident};

/// The whole.
#[derive(Serialize)]
pub struct Entry {
    rss_grew: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explained_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explained_share_of_anonymous: Option<f64>,
    explained: Kinds,
    given_back_of_before: Kinds,
    unexplained: Kinds,
    given_back_lazily: Lazily,
    before: Sums,
    after: Sums,
    changed_while_looking: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_seconds_before_end: Option<f64>,
}

#[derive(Serialize)]
struct Kinds {
    anonymous: u64,
    huge: u64,
    file: u64,
    shmem: u64,
}

#[derive(Serialize)]
struct Sums {
    rss: u64,
    anonymous: u64,
    huge: u64,
    swap: u64,
    lazily_freed: u64,
}

#[derive(Serialize)]
struct Lazily {
    not_counted: u64,
    counted: u64,
    of_before: u64,
    hidden: bool,
}

impl From<&Reconciliation> for Entry {
    fn from(reconciliation: &Reconciliation) -> Self {
        let Reconciliation {
            before,
            after,
            explained,
            given_back,
            unexplained,
            given_back_lazily,
            changed_while_looking,
            looked_before_end,
        } = reconciliation;
        Self {
            rss_grew: reconciliation.grew(),
            explained_share: reconciliation.explained_share(),
            explained_share_of_anonymous: reconciliation.explained_share_of_anonymous(),
            explained: kinds(explained),
            given_back_of_before: kinds(given_back),
            unexplained: kinds(unexplained),
            given_back_lazily: lazily(given_back_lazily),
            before: sums(before),
            after: sums(after),
            changed_while_looking: *changed_while_looking,
            looked_seconds_before_end: *looked_before_end,
        }
    }
}

fn kinds(bytes: &ByKind) -> Kinds {
    Kinds {
        anonymous: bytes.of(Kind::Anonymous),
        huge: bytes.of(Kind::Huge),
        file: bytes.of(Kind::File),
        shmem: bytes.of(Kind::Shmem),
    }
}

fn sums(resident: &Resident) -> Sums {
    let Resident {
        rss,
        anonymous,
        huge,
        swap,
        lazily_freed,
    } = *resident;
    Sums {
        rss,
        anonymous,
        huge,
        swap,
        lazily_freed,
    }
}

fn lazily(given_back: &GivenBackLazily) -> Lazily {
    let GivenBackLazily {
        not_counted,
        counted,
        of_before,
        hidden,
    } = *given_back;
    Lazily {
        not_counted,
        counted,
        of_before,
        hidden,
    }
}
