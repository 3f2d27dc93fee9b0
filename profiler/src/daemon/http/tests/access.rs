use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::connections::Bounds;
use super::served::Served;

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused() {
    let served = Served::begin();
    let port = served.address.port();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        ("evil.example".to_owned(), 403),
        (format!("localhost.evil.example:{port}"), 403),
    ] {
        for path in ["/", "/api/v1/targets", "/metrics", "/style.css"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = served.raw(request.as_bytes()).await.unwrap();
            assert_eq!(answer.status, status, "{host} {path}");
        }
    }
    let none = served
        .raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(none.status, 400);
}

#[tokio::test]
async fn a_page_of_somebody_else_cannot_ask_for_anything() {
    let served = Served::begin();
    let body = r#"{"pid": 4711, "view": "heap", "seconds": 60}"#;
    let json = "Content-Type: application/json\r\n";
    for origin in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let headers = format!("{json}{origin}");
        for (method, path) in [
            ("POST", "/api/v1/recordings"),
            ("DELETE", "/api/v1/recordings"),
            ("POST", "/api/v1/recordings/stop"),
            ("POST", "/record"),
            ("POST", "/stop"),
        ] {
            let answer = served.ask(method, path, &headers, body).await;
            assert_eq!(answer.status, 403, "{origin} {method} {path}");
        }
    }
    assert!(served.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn with_a_token_nothing_is_had_without_it() {
    let token = "correct-horse-battery";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{token}\n")).unwrap();
    let served = Served::within(Bounds::default(), Some(file.path()));
    let basic = BASE64_STANDARD.encode(format!("anybody:{token}"));
    for (headers, status) in [
        (String::new(), 401),
        (
            "Authorization: Bearer wrong-horse-battery\r\n".to_owned(),
            401,
        ),
        (format!("Authorization: Bearer {token}\r\n"), 200),
        (format!("Authorization: Basic {basic}\r\n"), 200),
    ] {
        for path in ["/", "/style.css", "/metrics", "/api/v1/recordings"] {
            let answer = served.ask("GET", path, &headers, "").await;
            assert_eq!(answer.status, status, "{headers} {path}");
            assert_eq!(
                answer.head.contains("www-authenticate: basic"),
                status == 401
            );
        }
    }
}
