//! The JSON of a [`Reconciliation`]. All in bytes, but for times.

use serde::Serialize;

use crate::profile::{ByKind, Kind, Reconciliation, Resident};

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
    before: Sums,
    after: Sums,
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
}

impl From<&Reconciliation> for Entry {
    fn from(reconciliation: &Reconciliation) -> Self {
        let Reconciliation {
            before,
            after,
            explained,
            given_back,
            unexplained,
            looked_before_end,
        } = reconciliation;
        Self {
            rss_grew: reconciliation.grew(),
            explained_share: reconciliation.explained_share(),
            explained_share_of_anonymous: reconciliation.explained_share_of_anonymous(),
            explained: kinds(explained),
            given_back_of_before: kinds(given_back),
            unexplained: kinds(unexplained),
            before: sums(before),
            after: sums(after),
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
    } = *resident;
    Sums {
        rss,
        anonymous,
        huge,
        swap,
    }
}
