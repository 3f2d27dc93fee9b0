use super::served::Served;

/// What may not be in a page, whatever names processes and functions have.
fn assert_harmless(page: &str) {
    assert!(
        !page.contains("<script>") && !page.contains("<img"),
        "{page}"
    );
    // nothing from elsewhere, no script or style in the page itself
    for forbidden in ["http://", "https://", " style=", "onclick", "<style"] {
        assert!(!page.contains(forbidden), "{forbidden}: {page}");
    }
}

#[tokio::test]
async fn the_overview_has_targets_and_recordings() {
    let served = Served::begin();
    let answer = served.get("/").await;
    let page = answer.text();
    assert_eq!(answer.status, 200, "{page}");
    assert_harmless(page);
    assert!(page.contains("<html lang=\"en\">"));
    for piece in [
        "data-name=\"shop\"",
        "data-pid=\"4711\"",
        "RSS grew by 52.1 MiB in 10 min",
        "seccomp filter",
        "+3.00 MiB/min",
        "OOM-killed",
        "&lt;script&gt;alert(1)",
        "2 recordings failed",
    ] {
        assert!(page.contains(piece), "{piece}: {page}");
    }
    assert_eq!(
        page.matches("name=\"before\"").count(),
        served.entries.len()
    );
    let places: Vec<_> = served
        .entries
        .iter()
        .map(|entry| page.find(&format!("/recordings/{}", entry.id)).unwrap())
        .collect();
    assert!(
        places.is_sorted_by(|older, newer| older > newer),
        "newest first"
    );
    let narrow = served.get("/?target=batch&view=").await;
    assert_eq!(narrow.text().matches("name=\"before\"").count(), 1);
    let none = served.get("/?target=none").await;
    assert!(none.text().contains("No recording is here"));
    let paged = served.get("/?limit=1&target=shop").await;
    let older = format!(
        "/?before={}&amp;target=shop&amp;limit=1#recordings",
        served.entries[2].id
    );
    assert!(paged.text().contains(&older), "{}", paged.text());
}

#[tokio::test]
async fn a_recording_has_its_graph_table_tabs_and_downloads() {
    let served = Served::begin();
    let id = &served.entries[1].id;
    let answer = served.get(&format!("/recordings/{id}")).await;
    let page = answer.text();
    assert_eq!(answer.status, 200, "{page}");
    assert_harmless(page);
    for piece in [
        format!("src=\"/api/v1/recordings/{id}/svg\""),
        "sandbox=\"allow-scripts allow-modals\"".to_owned(),
        format!("href=\"/recordings/{}\"", served.entries[2].id),
        format!("/diff?before={}&amp;after={id}", served.entries[0].id),
        "Cache::insert".to_owned(),
        "(cache.cpp:87)".to_owned(),
        "&lt;onerror=alert&gt;".to_owned(),
        "stack_truncated".to_owned(),
        "&lt;plug&amp;in&gt;".to_owned(),
        format!("/api/v1/recordings/{id}/folded"),
    ] {
        assert!(page.contains(&piece), "{piece}: {page}");
    }
    let dead = served
        .get(&format!("/recordings/{}", served.entries[3].id))
        .await;
    assert!(dead.text().contains("id=\"oom\""));
    assert_harmless(dead.text());
}

#[tokio::test]
async fn one_whose_file_is_broken_says_so() {
    let served = Served::begin();
    let id = &served.entries[0].id;
    let file = served.directory.path().join(format!("store/{id}.json"));
    std::fs::write(file, "not JSON").unwrap();
    let answer = served.get(&format!("/recordings/{id}")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("This recording cannot be shown"));
    assert!(answer.text().contains("id=\"downloads\""));
}

#[tokio::test]
async fn two_recordings_are_compared() {
    let served = Served::begin();
    let (before, after) = (&served.entries[0].id, &served.entries[1].id);
    let answer = served
        .get(&format!("/diff?before={before}&after={after}"))
        .await;
    let page = answer.text();
    assert_eq!(answer.status, 200, "{page}");
    assert!(page.contains("format=svg-before\""), "{page}");
    assert_harmless(page);
    assert!(
        page.contains(&format!(
            "src=\"/api/v1/diff?before={before}&amp;after={after}&amp;format=svg\""
        )),
        "{page}"
    );
    assert!(
        page.contains("id=\"grew\"") && page.contains("id=\"shrank\""),
        "{page}"
    );
    let unlike = served
        .get(&format!(
            "/diff?before={before}&after={}",
            served.entries[2].id
        ))
        .await;
    assert_eq!(unlike.status, 400);
    assert!(unlike.text().contains("choose two of one view"));
}

#[tokio::test]
async fn forms_begin_and_end_recordings() {
    let served = Served::begin();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let origin = format!(
        "{form}Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n",
        served.address
    );
    let begun = served
        .ask("POST", "/record", &origin, "pid=4711&view=heap&seconds=60")
        .await;
    assert_eq!(begun.status, 303);
    assert!(begun.head.contains("location: /\r\n"), "{}", begun.head);
    let ended = served
        .ask("POST", "/stop", &origin, "pid=4711&view=heap")
        .await;
    let place = format!("location: /recordings/{}", served.entries[1].id);
    assert!(
        ended.status == 303 && ended.head.contains(&place),
        "{}",
        ended.head
    );
    assert_eq!(
        *served.asked.lock().unwrap(),
        ["start 4711 heap 60", "stop 4711 heap"]
    );
    for body in ["", "pid=x", "pid=1&view=heap&seconds=1 2", "\u{e4}=1"] {
        let refused = served.ask("POST", "/record", &origin, body).await;
        assert_eq!(refused.status, 400, "{body}");
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_on_a_short_leash() {
    let served = Served::begin();
    for path in [
        "/",
        "/style.css",
        "/script.js",
        "/icon.svg",
        "/none",
        "/api/v1/targets",
        "/metrics",
    ] {
        let answer = served.get(path).await;
        for piece in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
        ] {
            assert!(answer.head.contains(piece), "{path}: {}", answer.head);
        }
    }
    let missing = served.get("/recordings/none").await;
    assert!(missing.status == 404 && missing.text().contains("<h1>Not Found</h1>"));
}
