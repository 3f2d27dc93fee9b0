//! With the real maps in the kernel, as root.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use unfreed_common::unwind::{Mapping, ProcessTable};

use super::*;
use crate::bpf::{Bpf, Sizes};
use crate::check;

/// A process that does nothing.
struct Idle(Child);

impl Idle {
    fn start() -> Self {
        // It has been through its loader when it answers.
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        let mut answer = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut answer)
            .unwrap();
        Self(child)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn tracker(rows: u32) -> Tracker {
    let mut bpf = Bpf::load(Sizes {
        rows,
        ..Sizes::small(check::host().unwrap().memory)
    })
    .unwrap();
    let (built, _) = tokio::sync::mpsc::unbounded_channel();
    Tracker::of(Unwind::Auto, bpf.take_tables().unwrap(), built)
}

fn publish(tracker: &mut Tracker, pid: u32) -> (ProcessTable, Vec<Mapping>) {
    let mut modules = Modules::of(pid, None);
    modules.refresh(Vec::new).unwrap();
    let changes = tracker.changes(pid).unwrap();
    tracker.publish(pid, &modules, changes, true).unwrap();
    tracker.tables.published(pid).unwrap()
}

#[test]
fn each_process_has_a_table_of_its_own_and_files_are_shared() {
    let (parent, child) = (Idle::start(), Idle::start());
    let mut tracker = tracker(1 << 20);
    let pids = [parent.0.id(), child.0.id()];
    tracker.follow(pids[0]).unwrap();
    tracker.follow(pids[1]).unwrap();
    let (first, mappings) = publish(&mut tracker, pids[0]);
    let rows = tracker.rows_in_use();
    let (second, others) = publish(&mut tracker, pids[1]);
    assert!(rows > 10_000, "{rows} rows");
    assert_eq!(tracker.rows_in_use(), rows);
    assert_ne!(first.generation, second.generation);
    assert_ne!(first.changes_index, second.changes_index);
    assert!(
        first.first + first.count <= second.first || second.first + second.count <= first.first
    );
    // Elsewhere in memory, and the same rows.
    assert!(mappings.len() >= 3, "{mappings:?}");
    assert_ne!(mappings, others);
    let placed = |mappings: &[Mapping]| {
        let mut rows = mappings
            .iter()
            .map(|it| (it.first_row, it.row_count))
            .collect::<Vec<_>>();
        rows.sort_unstable();
        rows
    };
    assert_eq!(placed(&mappings), placed(&others));
    assert!(mappings.is_sorted_by_key(|mapping| mapping.start));
    tracker.forget(pids[1]).unwrap();
    assert!(tracker.tables.published(pids[1]).is_none());
    assert_eq!(tracker.tables.published(pids[0]), Some((first, mappings)));
}

#[test]
fn what_has_not_changed_is_not_published_again() {
    let idle = Idle::start();
    let mut tracker = tracker(1 << 20);
    tracker.follow(idle.0.id()).unwrap();
    let once = publish(&mut tracker, idle.0.id());
    assert_eq!(publish(&mut tracker, idle.0.id()), once);
}

#[test]
fn files_that_find_no_room_are_counted_and_the_others_have_their_rows() {
    let idle = Idle::start();
    let mut tracker = tracker(5_000);
    tracker.follow(idle.0.id()).unwrap();
    let (_, mappings) = publish(&mut tracker, idle.0.id());
    assert!(tracker.without_room() >= 1);
    assert!(mappings.iter().any(|mapping| mapping.row_count == 0));
    assert!(mappings.iter().any(|mapping| mapping.row_count > 0));
}
