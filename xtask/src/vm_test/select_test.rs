use super::*;
use crate::vm_test::kernels::Lack;

fn tests() -> Vec<Test> {
    [
        ("suite", "heap::glibc"),
        ("suite", "heap::glibc_static"),
        ("suite", "ends::exec"),
        ("guest", "lockdown::words"),
    ]
    .map(|(binary, name)| Test {
        binary: binary.into(),
        name: name.into(),
        ignored: false,
    })
    .into()
}

fn table(all: &[&str], quick: Option<&[&str]>, lacks: &[&str]) -> Table {
    let owned = |entries: &[&str]| entries.iter().map(|&e| e.to_owned()).collect::<Vec<_>>();
    let kernel = Kernel {
        name: "6.1".into(),
        suite: "s".into(),
        package: "p".into(),
    };
    let guest = Guest {
        name: "6.1".into(),
        kernel: "6.1".into(),
        cpus: 2,
        memory: "1G".into(),
        append: String::new(),
        all: vec!["all".into()],
        quick: quick.map(|_| "quick".into()).into_iter().collect(),
        limit: 300,
        programs: Vec::new(),
        lacks: vec![Lack {
            tests: owned(lacks),
            why: "no way".into(),
        }],
    };
    let mut selections = vec![("all".to_owned(), owned(all))];
    selections.extend(quick.map(|quick| ("quick".to_owned(), owned(quick))));
    Table {
        tests: selections.into_iter().collect(),
        kernels: vec![kernel],
        guests: vec![guest],
    }
}

/// The names of what runs and of what is skipped.
fn planned(table: &Table, wanted: Wanted) -> Result<(Vec<String>, Vec<String>)> {
    let guests = table.guests(&[])?;
    let plans = plans(table, &guests, &tests(), wanted)?;
    let run = plans.iter().flat_map(|p| &p.tests).map(Test::to_string);
    let skipped = plans.iter().flat_map(|p| &p.skipped);
    Ok((
        run.collect(),
        skipped
            .map(|(test, why)| format!("{test}: {why}"))
            .collect(),
    ))
}

fn run(table: &Table, wanted: Wanted) -> Vec<String> {
    planned(table, wanted).unwrap().0
}

#[test]
fn an_entry_is_a_whole_name_or_a_beginning() {
    let whole = table(&["suite::heap::glibc"], None, &[]);
    assert_eq!(run(&whole, Wanted::All), ["suite::heap::glibc"]);
    let beginning = table(&["suite::heap::gl", "guest::", "suite::heap::"], None, &[]);
    assert_eq!(
        run(&beginning, Wanted::All),
        [
            "suite::heap::glibc",
            "suite::heap::glibc_static",
            "guest::lockdown::words"
        ]
    );
}

#[test]
fn an_entry_without_a_test_is_an_error() {
    for wrong in [
        table(&["suite::", "suite::pages::"], None, &[]),
        table(&["suite::"], Some(&["suite::pages::"]), &[]),
        // It is a test, but none of this guest's.
        table(&["suite::"], None, &["guest::"]),
    ] {
        let error = planned(&wrong, Wanted::Quick).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with("guest 6.1: "), "{error}");
        assert!(error.contains("no test is called"), "{error}");
    }
    let unused = table(&["suite::", "nothing"], None, &[]);
    let error = format!("{:#}", check(&unused, &tests()).unwrap_err());
    assert!(
        error.contains("`all`: no test is called `nothing`"),
        "{error}"
    );
}

#[test]
fn what_a_guest_lacks_is_skipped_with_the_reason() {
    let table = table(&["suite::"], Some(&["suite::ends::"]), &["suite::ends::"]);
    let skipped = vec!["suite::ends::exec: no way".to_owned()];
    let glibc = ["suite::heap::glibc", "suite::heap::glibc_static"].map(str::to_owned);
    assert_eq!(
        planned(&table, Wanted::All).unwrap(),
        (glibc.into(), skipped.clone())
    );
    assert_eq!(planned(&table, Wanted::Quick).unwrap(), (vec![], skipped));
}

#[test]
fn an_ignored_test_is_skipped_not_passed_over() {
    let table = table(&["suite::heap::"], None, &[]);
    let mut tests = tests();
    tests[0].ignored = true;
    let guests = table.guests(&[]).unwrap();
    let plans = plans(&table, &guests, &tests, Wanted::All).unwrap();
    assert_eq!(plans[0].tests, tests[1..2]);
    let reason = "marked #[ignore]".to_owned();
    assert_eq!(plans[0].skipped, [(tests[0].clone(), reason)]);
}

#[test]
fn tests_by_name_are_chosen_from_all_of_the_guests() {
    let table = table(&["suite::"], Some(&["suite::ends::"]), &[]);
    let parts = ["static".to_owned(), "exec".to_owned(), "words".to_owned()];
    assert_eq!(
        run(&table, Wanted::Named(&parts)),
        ["suite::heap::glibc_static", "suite::ends::exec"]
    );
}

#[test]
fn a_guest_without_a_quick_selection_does_nothing_in_a_quick_run() {
    let table = table(&["suite::"], None, &[]);
    let guests = table.guests(&[]).unwrap();
    assert!(
        plans(&table, &guests, &tests(), Wanted::Quick)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_module_is_the_name_without_its_last_part() {
    let mut test = tests()[3].clone();
    assert_eq!(test.module(), "guest::lockdown");
    test.name = "chains::witness::agrees".into();
    assert_eq!(test.module(), "guest::chains::witness");
    test.name = "agrees".into();
    assert_eq!(test.module(), "guest");
}
