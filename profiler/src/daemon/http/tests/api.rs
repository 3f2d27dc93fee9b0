use super::super::formats;
use super::served::Served;
use crate::write::{Options, WRITERS, Weigh};

#[tokio::test]
async fn targets_and_recordings_are_listed() {
    let served = Served::begin();
    let targets = served.get("/api/v1/targets").await;
    assert!(targets.head.contains("content-type: application/json"));
    assert_eq!(targets.json()["targets"][0]["processes"][0]["pid"], 4711);
    let ids = |answer: &super::served::Answer| -> Vec<String> {
        let json = answer.json();
        let list = json["recordings"].as_array().unwrap();
        list.iter()
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let names: Vec<String> = served
        .entries
        .iter()
        .rev()
        .map(|entry| entry.id.to_string())
        .collect();
    let list = "/api/v1/recordings";
    assert_eq!(ids(&served.get(list).await), names);
    for (filter, expected) in [
        ("?view=pages", &names[1..2]),
        ("?target=batch", &names[..1]),
        ("?pid=4711", &names[1..]),
        ("?limit=2", &names[..2]),
        ("?target=&view=heap&pid=4711&limit=1", &names[2..3]),
        ("?target=none", &[]),
    ] {
        assert_eq!(
            ids(&served.get(&format!("{list}{filter}")).await),
            expected,
            "{filter}"
        );
    }
    let older = served.get(&format!("{list}?before={}", names[1])).await;
    assert_eq!(ids(&older), names[2..]);
    assert_eq!(
        served.get(&format!("{list}?limit=2")).await.json()["more"],
        true
    );
    let entry = served.get(&format!("{list}/{}", names[0])).await.json();
    assert_eq!(entry["how"]["how"], "out_of_memory");
}

#[tokio::test]
async fn every_format_is_what_its_writer_writes() {
    let served = Served::begin();
    let id = &served.entries[1].id;
    let file = |extension: &str| {
        std::fs::read(
            served
                .directory
                .path()
                .join(format!("store/{id}.{extension}")),
        )
        .unwrap()
    };
    let profile = crate::read::json(&file("json")[..]).unwrap();
    for writer in WRITERS {
        for (weight, query) in [(Weigh::Bytes, ""), (Weigh::Count, "?weight=count")] {
            let path = format!("/api/v1/recordings/{id}/{}{query}", writer.name());
            let answer = served.get(&path).await;
            assert_eq!(answer.status, 200, "{path}");
            let expected = match writer.name() {
                "json" => file("json"),
                "pprof" => file("pb.gz"),
                _ => {
                    let options = Options {
                        weight,
                        ..Options::default()
                    };
                    let mut out = Vec::new();
                    writer.write(&profile, &options, &mut out).unwrap();
                    out
                }
            };
            assert!(answer.body == expected, "{path}");
            let kind = match writer.name() {
                "svg" => "image/svg+xml",
                "json" => "application/json",
                "pprof" => "application/octet-stream",
                _ => "text/plain; charset=utf-8",
            };
            assert!(
                answer.head.contains(&format!("content-type: {kind}\r\n")),
                "{}",
                answer.head
            );
            let length = format!("content-length: {}", expected.len());
            assert!(answer.head.contains(&length), "{}", answer.head);
        }
    }
    let svg = served
        .get(&format!("/api/v1/recordings/{id}/svg?x=1.5&y=3"))
        .await;
    assert!(svg.head.contains("sandbox allow-scripts"), "{}", svg.head);
}

#[tokio::test]
async fn errors_are_json_with_a_fitting_status() {
    let served = Served::begin();
    let id = served.entries[0].id.to_string();
    let pages = served.entries[2].id.to_string();
    for (path, status) in [
        ("/api/v1/nothing".to_owned(), 404),
        ("/api/v1/recordings/none".to_owned(), 404),
        ("/api/v1/recordings/..".to_owned(), 404),
        ("/api/v1/recordings/UP".to_owned(), 404),
        (format!("/api/v1/recordings/{id}/xml"), 404),
        (format!("/api/v1/recordings/{id}/svg?weight=heavy"), 400),
        ("/api/v1/recordings?targt=shop".to_owned(), 400),
        ("/api/v1/recordings?pid=-1".to_owned(), 400),
        ("/api/v1/recordings?before=A".to_owned(), 400),
        ("/api/v1/diff".to_owned(), 400),
        (format!("/api/v1/diff?before={id}&after=none"), 404),
        (format!("/api/v1/diff?before={id}&after={pages}"), 400),
        (
            format!("/api/v1/diff?before={id}&after={id}&format=xml"),
            404,
        ),
        ("/debug/pprof/heap".to_owned(), 400),
        ("/debug/pprof/heap?target=none".to_owned(), 404),
        ("/debug/pprof/heap?target=none&seconds=1".to_owned(), 404),
        (
            "/debug/pprof/heap?target=shop&seconds=100000".to_owned(),
            400,
        ),
        ("/debug/pprof/profile?target=shop".to_owned(), 404),
    ] {
        let answer = served.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(
            answer.json()["error"].as_str().unwrap().len() > 10,
            "{path}"
        );
    }
    let put = served.ask("PUT", "/api/v1/targets", "", "").await;
    assert_eq!(put.status, 405);
    assert!(put.json()["error"].is_string());
}

#[tokio::test]
async fn recordings_are_begun_and_ended() {
    let served = Served::begin();
    let id = served.entries[1].id.to_string();
    let all = "/api/v1/recordings";
    let long = r#"{"pid": 4711, "view": "heap", "seconds": 60}"#;
    let begun = served.post("POST", all, long).await;
    assert_eq!(
        (begun.status, begun.json()),
        (202, serde_json::json!({"pid": 4711, "view": "heap"}))
    );
    let short = r#"{"pid": 4711, "view": "pages", "seconds": 1}"#;
    let waited = served.post("POST", &format!("{all}?wait=1"), short).await;
    assert_eq!(
        (waited.status, waited.json()["id"].as_str()),
        (200, Some(id.as_str()))
    );
    for (method, path) in [("DELETE", all), ("POST", "/api/v1/recordings/stop")] {
        let ended = served
            .post(method, path, r#"{"pid": 4711, "view": "heap"}"#)
            .await;
        assert_eq!(
            (ended.status, ended.json()["id"].as_str()),
            (200, Some(id.as_str()))
        );
    }
    // refused while the client is still there, although it does not wait
    let refused = served
        .post("POST", all, r#"{"pid": 999, "view": "heap", "seconds": 5}"#)
        .await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["error"], "there is no process 999");
    let asked = [
        "start 4711 heap 60",
        "start 4711 pages 1",
        "stop 4711 heap",
        "stop 4711 heap",
        "start 999 heap 5",
    ];
    assert_eq!(*served.asked.lock().unwrap(), asked);

    for (body, status) in [
        ("", 400),
        ("{", 400),
        (r#"{"pid": 0, "view": "heap", "seconds": 1}"#, 400),
        (r#"{"pid": 4294967295, "view": "heap", "seconds": 1}"#, 400),
        (r#"{"pid": 1, "view": "maps", "seconds": 1}"#, 400),
        (r#"{"pid": 1, "view": "heap", "seconds": 0}"#, 400),
        (r#"{"pid": 1, "view": "heap", "seconds": 1e9}"#, 400),
        (
            r#"{"pid": 1, "view": "heap", "seconds": 1, "more": 1}"#,
            400,
        ),
    ] {
        assert_eq!(
            served.post("POST", all, body).await.status,
            status,
            "{body}"
        );
    }
    assert_eq!(served.ask("POST", all, "", short).await.status, 415);
    assert_eq!(served.asked.lock().unwrap().len(), asked.len());
}

#[tokio::test]
async fn so_many_recordings_are_asked_for_and_no_more() {
    let served = Served::begin();
    let body = r#"{"pid": 4711, "view": "heap", "seconds": 60}"#;
    let requests = (0..40).map(|_| served.post("POST", "/api/v1/recordings", body));
    let mut statuses = Vec::new();
    // one after the other would take a while: each waits for a refusal
    let mut pending: Vec<_> = requests.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        pending.retain_mut(|request| match request.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                statuses.push(answer.status);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    let of = |status| statuses.iter().filter(|one| **one == status).count();
    let most = super::super::ASKED;
    assert_eq!((of(202), of(503)), (most, 40 - most), "{statuses:?}");
    assert_eq!(served.get("/api/v1/targets").await.status, 200);
}

#[tokio::test]
async fn scrapers_of_profiles_get_the_newest() {
    let served = Served::begin();
    let file = |index: usize| {
        let name = format!("store/{}.pb.gz", served.entries[index].id);
        std::fs::read(served.directory.path().join(name)).unwrap()
    };
    let newest = served.get("/debug/pprof/heap?target=shop").await;
    assert!(newest.status == 200 && newest.body == file(1));
    let pages = served.get("/debug/pprof/pages?target=shop&debug=0").await;
    assert!(pages.status == 200 && pages.body == file(2));
    assert!(served.asked.lock().unwrap().is_empty());
    let now = served.get("/debug/pprof/heap?target=shop&seconds=3").await;
    assert!(now.status == 200 && now.body == file(1));
    assert_eq!(*served.asked.lock().unwrap(), ["start 4711 heap 3"]);
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let served = Served::begin();
    let classic = served.get("/metrics").await;
    assert!(
        classic
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    assert!(
        classic
            .text()
            .contains("\n# TYPE unfreed_lost_events_total counter\n")
    );
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = served.ask("GET", "/metrics", accept, "").await;
    assert!(
        open.head
            .contains("content-type: application/openmetrics-text; version=1.0.0")
    );
    assert!(open.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_comparison_is_written_in_every_format() {
    let served = Served::begin();
    let (before, after) = (&served.entries[0].id, &served.entries[1].id);
    for name in formats::diff_names() {
        let answer = served
            .get(&format!(
                "/api/v1/diff?before={before}&after={after}&format={name}"
            ))
            .await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(!answer.body.is_empty(), "{name}");
        let graph =
            answer.head.contains("image/svg+xml") && answer.head.contains("sandbox allow-scripts");
        assert_eq!(graph, name.starts_with("svg"), "{}", answer.head);
    }
    let svg = served
        .get(&format!("/api/v1/diff?before={before}&after={after}"))
        .await;
    assert!(svg.head.contains("image/svg+xml") && svg.text().contains("<svg"));
}
