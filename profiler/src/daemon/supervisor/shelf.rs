//! Where recordings go when they are over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};

use super::Supervisor;
use super::run::Answer;
use crate::daemon::config::{Config, Target};
use crate::daemon::entry::Entry;
use crate::daemon::store::{Draft, Retention, Store, StoreError};

/// How long a full disk is left alone before it is tried again.
const FULL: Duration = Duration::from_secs(10);

/// The store, as the supervisor sees it: it never waits for it.
pub struct Shelf {
    pub store: Arc<Store>,
    retention: Arc<Rules>,
    /// Since when there is no space.
    pub full: Option<Instant>,
    /// How many recordings are being stored.
    pub storing: usize,
    sender: UnboundedSender<Stored>,
    receiver: UnboundedReceiver<Stored>,
}

/// What is kept.
struct Rules {
    total: Retention,
    by_target: HashMap<String, Retention>,
}

/// A recording was stored, or was not.
pub struct Stored {
    pub entry: Entry,
    pub result: Result<(), StoreError>,
    pub answers: Vec<Answer>,
}

impl Shelf {
    pub fn new(store: Arc<Store>, config: &Config) -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            store,
            retention: Arc::new(Rules::of(config)),
            full: None,
            storing: 0,
            sender,
            receiver,
        }
    }

    pub fn reload(&mut self, config: &Config) {
        self.retention = Arc::new(Rules::of(config));
    }

    /// Whether something may come of [`Self::stored`].
    pub fn is_busy(&self) -> bool {
        self.storing > 0
    }

    /// What is stored next.
    pub async fn stored(&mut self) -> Option<Stored> {
        self.receiver.recv().await
    }

    /// Has it stored.
    pub fn put(&mut self, entry: Entry, draft: Draft, answers: Vec<Answer>) {
        self.storing += 1;
        let (store, sender, rules) = (
            Arc::clone(&self.store),
            self.sender.clone(),
            Arc::clone(&self.retention),
        );
        tokio::task::spawn_blocking(move || {
            let result = store.add(draft, entry.clone());
            rules.apply(&store);
            // Fails when the daemon has given up waiting.
            let _late = sender.send(Stored {
                entry,
                result,
                answers,
            });
        });
    }

    /// Has removed what is not to be kept any longer.
    pub fn sweep(&self) {
        let (store, rules) = (Arc::clone(&self.store), Arc::clone(&self.retention));
        tokio::task::spawn_blocking(move || rules.apply(&store));
    }

    /// Whether recordings may begin.
    pub fn has_space(&mut self, now: Instant) -> bool {
        if self.full.is_some_and(|since| now >= since + FULL) {
            self.full = None;
        }
        self.full.is_none()
    }
}

impl Rules {
    fn of(config: &Config) -> Self {
        let by_target = |target: &Target| (target.name.clone(), target.retention.clone());
        Self {
            total: config.store.retention.clone(),
            by_target: config.targets.iter().map(by_target).collect(),
        }
    }

    fn apply(&self, store: &Store) {
        let of_target = |name: &str| self.by_target.get(name).cloned().unwrap_or_default();
        match store.sweep(Timestamp::now(), &self.total, &of_target) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => info!(
                recordings = removed.len(),
                "removed, as they are not to be kept"
            ),
            Err(error) => warn!("old recordings cannot be removed: {error}"),
        }
    }
}

impl Supervisor {
    /// A recording is stored, or is not.
    pub(super) fn stored(&mut self, stored: Stored) {
        self.shelf.storing -= 1;
        let Stored {
            entry,
            result,
            answers,
        } = stored;
        let answer = match result {
            Ok(()) => {
                info!(
                    recording = %entry.id,
                    how = ?entry.how,
                    unfreed_bytes = entry.unfreed.bytes,
                    lost = entry.lost,
                    "stored"
                );
                self.health.store_problem = None;
                Ok(entry.id)
            }
            Err(error) => {
                warn!(recording = %entry.id, "not stored: {error}");
                let reason = error.to_string();
                if matches!(error, StoreError::Full { .. }) {
                    self.no_space(&reason);
                } else {
                    self.health.failed += 1;
                    self.health.store_problem = Some(reason.clone());
                }
                Err(reason)
            }
        };
        for waiting in answers {
            let _gone = waiting.send(answer.clone());
        }
    }

    /// Nothing can be stored for now.
    pub(super) fn no_space(&mut self, reason: &str) {
        self.health.not_stored += 1;
        self.health.store_problem = Some(reason.to_owned());
        self.shelf.full = Some(Instant::now());
    }
}
