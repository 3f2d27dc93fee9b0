use std::io::Write;
use std::process::{Command, Stdio};

use super::super::tests::status;
use super::*;

/// What promtool says about metrics, and whether it is content.
fn promtool(text: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed (Debian package prometheus)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    (output.status.success(), words)
}

#[test]
fn promtool_has_nothing_to_say() {
    let text = render(&status::made_up(), Viewer::All, false).unwrap();
    let (content, words) = promtool(&text);
    assert!(content && words.is_empty(), "{words}\n{text}");
    let wrong = text.replace("# HELP unfreed_target_rss_bytes", "# HELP else");
    assert!(!promtool(&wrong).0);
}

#[test]
fn every_number_is_there() {
    let text = render(&status::made_up(), Viewer::All, true).unwrap();
    for line in [
        "unfreed_target_rss_bytes{target=\"shop\",pid=\"4711\",comm=\"storefront\"} 137363456.0",
        "unfreed_target_growth_bytes_per_second{target=\"shop\",pid=\"4711\",comm=\"storefront\"} 52428.8",
        "unfreed_bytes{target=\"shop\",pid=\"4711\",comm=\"storefront\",view=\"heap\"} 29104005.0",
        "unfreed_observed_ratio{target=\"shop\",pid=\"4711\",comm=\"storefront\",view=\"heap\"} 0.25",
        "unfreed_overhead_ratio{target=\"shop\",pid=\"4711\",comm=\"storefront\",view=\"heap\"} 0.049",
        "unfreed_lost_events_total{target=\"shop\",pid=\"4711\",comm=\"storefront\",view=\"heap\",reason=\"live_full\"} 3",
        "unfreed_store_problem 0.0",
        "unfreed_recordings_failed_total 2",
        "unfreed_stored_bytes 1048576.0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
    }
    assert!(text.contains("\nunfreed_daemon_rss_bytes "));
    assert!(text.contains("\nunfreed_daemon_open_fds "));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_hostile_name_stays_in_its_quotes() {
    let mut status = status::made_up();
    let comm = "a\"} 1\nevil_total 7\n\\";
    comm.clone_into(&mut status.targets[0].processes[0].comm);
    let text = render(&status, Viewer::All, false).unwrap();
    assert!(!text.contains("\nevil"), "{text}");
    assert!(
        text.contains(r#"comm="a\"} 1\nevil_total 7\n\\""#),
        "{text}"
    );
    assert!(promtool(&text).0);
}

#[test]
fn there_is_an_end_to_processes() {
    let mut status = status::made_up();
    let process = status.targets[0].processes[0].clone();
    status.targets[0].processes = (1..=600)
        .map(|pid| Process {
            pid,
            ..process.clone()
        })
        .collect();
    let text = render(&status, Viewer::All, true).unwrap();
    let series = text.matches("unfreed_target_rss_bytes{").count();
    assert_eq!(series, MOST_PROCESSES);
    let all = status.targets.iter().map(|target| target.processes.len());
    let left_out = all.sum::<usize>() - MOST_PROCESSES;
    assert!(
        text.contains(&format!("unfreed_processes_left_out {left_out}.0")),
        "{text}"
    );
}
