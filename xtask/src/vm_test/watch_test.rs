use super::*;

fn tests() -> [Test; 3] {
    ["one", "two", "three"].map(|name| Test {
        binary: "suite".into(),
        name: name.into(),
        ignored: false,
    })
}

fn run(lines: &[&str], end: End) -> (Vec<(String, Verdict)>, Option<String>) {
    let tests = tests();
    let mut watch = Watch::new(&tests, Duration::from_mins(5));
    for line in lines {
        watch.line(line);
    }
    let run = watch.conclude(end);
    let verdicts = run.finished.into_iter().map(|f| (f.test.name, f.verdict));
    (verdicts.collect(), run.died)
}

const WELL: &[&str] = &[
    "@@ kernel 6.1.0",
    "@@ begin suite one",
    "@@ ok suite one 1.0",
    "@@ begin suite two",
    "@@ ok suite two 1.0",
    "@@ begin suite three",
    "@@ ok suite three 1.0",
    "@@ end 3 0",
];

#[test]
fn a_guest_in_which_all_passed_is_well() {
    let (verdicts, died) = run(WELL, End::Exited(Some(33)));
    assert_eq!(died, None);
    assert_eq!(verdicts.len(), 3);
    assert!(
        verdicts
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Passed)
    );
}

#[test]
fn a_failed_tests_output_belongs_to_it() {
    let tests = tests();
    let mut watch = Watch::new(&tests, Duration::from_mins(5));
    for line in [
        "@@ kernel 6.1.0",
        "@@ begin suite one",
        "@@ FAILED suite one 1.0",
        "[   10.0] a message of the kernel",
        "@@ | panicked at",
        "@@ |   here",
    ] {
        watch.line(line);
        assert!(watch.finished().is_empty());
    }
    watch.line("@@ begin suite two");
    assert_eq!(watch.finished()[0].output, ["panicked at", "  here"]);
    watch.line("@@ TIMEOUT suite two 300");
    watch.line("@@ begin suite three");
    watch.line("@@ ok suite three 2");
    watch.line("@@ end 1 2");
    let run = watch.conclude(End::Exited(Some(35)));
    assert_eq!(run.died, None);
    assert_eq!(run.release.as_deref(), Some("6.1.0"));
    let verdicts: Vec<Verdict> = run.finished.iter().map(|f| f.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Failed, Verdict::TimedOut, Verdict::Passed]
    );
}

#[test]
fn a_guest_that_ends_early_leaves_tests_cut_off_and_not_run() {
    let expected = [
        ("one".to_owned(), Verdict::Passed),
        ("two".to_owned(), Verdict::CutOff),
        ("three".to_owned(), Verdict::NotRun),
    ];
    let panic = [
        &WELL[..4],
        &["[   30.1] Kernel panic - not syncing: Fatal exception"],
    ]
    .concat();
    let late = || End::Late(Duration::from_mins(6));
    for (lines, end, words) in [
        (&panic[..], End::Exited(Some(0)), "panicked"),
        (&panic[..], late(), "panicked"),
        (&WELL[..4], End::Exited(Some(0)), "by itself"),
        (&WELL[..4], End::Exited(None), "killed"),
        (&WELL[..4], late(), "suite::two did not end within 360 s"),
    ] {
        let (verdicts, died) = run(lines, end);
        assert_eq!(verdicts, expected);
        let died = died.unwrap();
        assert!(died.contains(words), "{died}");
    }
}

#[test]
fn a_guest_that_does_not_boot_runs_nothing() {
    let (verdicts, died) = run(&["SeaBIOS"], End::Late(Duration::from_mins(2)));
    assert!(
        verdicts
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::NotRun)
    );
    assert_eq!(died.unwrap(), "it did not boot within 120 s");
}

#[test]
fn what_init_says_at_the_end_must_agree_with_its_lines() {
    let wrong_count = [&WELL[..7], &["@@ end 2 1"]].concat();
    let lost_line = [
        &WELL[..6],
        &["@@ ok suite th[   12.3] BUG", "ree 1.0", "@@ end 3 0"],
    ]
    .concat();
    let init_failed = ["@@ kernel 6.1.0", "@@ | init failed: no plan"];
    let stranger = [&WELL[..1], &["@@ ok suite four 1"], &WELL[1..]].concat();
    let twice = [&WELL[..3], &WELL[1..]].concat();
    for (lines, status, words) in [
        (WELL, 35, "exit status is 35"),
        (WELL, 1, "exit status is 1"),
        (&WELL[..7], 33, "init counted None"),
        (&wrong_count, 33, "init counted Some((2, 1))"),
        (&lost_line, 33, "damaged: @@ ok suite th["),
        (&init_failed, 35, "init failed: no plan"),
        (&stranger, 33, "four was not to be run"),
        (&twice, 33, "one was not to be run, or not again"),
    ] {
        let died = run(lines, End::Exited(Some(status))).1.unwrap();
        assert!(died.contains(words), "{died}");
    }
}

#[test]
fn patience_depends_on_what_is_awaited() {
    let tests = tests();
    let mut watch = Watch::new(&tests, Duration::from_mins(5));
    assert_eq!(watch.patience(), BOOT);
    assert!(!watch.line("Linux version 6.1"));
    assert!(watch.line("@@ kernel 6.1.0"));
    assert_eq!(watch.patience(), BESIDES);
    assert!(watch.line("@@ begin suite one"));
    assert_eq!(watch.patience(), Duration::from_mins(6));
    assert!(!watch.line("[   10.0] rcu: INFO: rcu_sched self-detected stall on CPU"));
    assert!(watch.line("@@ ok suite one 1.0"));
    assert_eq!(watch.patience(), BESIDES);
    assert!(watch.line("[   11.0] Kernel panic - not syncing"));
    assert_eq!(watch.patience(), PANIC);
    assert!(!watch.line("[   11.0] ---[ end Kernel panic - not syncing ]---"));
}
