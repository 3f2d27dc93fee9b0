//! Clients that are slow, greedy or senseless, and a plain one that must not notice.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::connections::Bounds;
use super::super::pace::Pace;
use super::served::Served;

/// The default bounds with times that a test has.
fn impatient() -> Bounds {
    Bounds {
        head: Duration::from_millis(400),
        pace: Pace {
            bytes: 64 << 10,
            each: Duration::from_millis(400),
        },
        ..Bounds::default()
    }
}

/// A plain request is answered, and at once.
async fn assert_alive(served: &Served) {
    let begin = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(5), served.get("/api/v1/targets")).await;
    assert_eq!(answer.expect("it is answered").status, 200);
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

/// How long until the other side hangs up.
async fn until_closed(stream: &mut tokio::net::TcpStream) -> Duration {
    let begin = Instant::now();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(8), end)
        .await
        .expect("it is closed");
    begin.elapsed()
}

#[tokio::test]
async fn a_head_that_drips_is_not_waited_for() {
    let served = Served::within(impatient(), None);
    let mut drip = served.connect().await;
    drip.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        .await
        .unwrap();
    let (mut read, mut write) = drip.into_split();
    let dripping = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_alive(&served).await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), read.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection was ended");
    dripping.abort();
    assert_alive(&served).await;
}

#[tokio::test]
async fn who_says_nothing_is_hung_up_on() {
    let served = Served::within(impatient(), None);
    let mut silent = served.connect().await;
    assert!(until_closed(&mut silent).await < Duration::from_secs(4));
    // also after a request, on a connection that is kept
    let mut kept = served.connect().await;
    kept.write_all(b"GET /script.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert!(until_closed(&mut kept).await < Duration::from_secs(4));
}

#[tokio::test]
async fn heads_have_a_size() {
    let served = Served::begin();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = served.raw(long.as_bytes()).await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: 1\r\n".repeat(100)
    );
    let answer = served.raw(many.as_bytes()).await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    for path in ["a".repeat(1000), format!("?{}", "a".repeat(2000))] {
        assert_eq!(served.get(&format!("/{path}")).await.status, 414);
    }
    assert_alive(&served).await;
}

#[tokio::test]
async fn a_body_has_a_size_and_need_not_be_said() {
    let served = Served::begin();
    let head =
        "POST /api/v1/recordings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let said = format!(
        "{head}Content-Length: 100000000\r\n\r\n{}",
        "x".repeat(1 << 20)
    );
    let answer = served.raw(said.as_bytes()).await;
    assert!(answer.is_none_or(|answer| answer.status == 413));
    let mut endless = served.connect().await;
    endless
        .write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let (mut sent, begin) = (0, Instant::now());
    while begin.elapsed() < Duration::from_secs(5) && sent < 64 << 20 {
        if endless.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
        sent += chunk.len();
    }
    assert!(
        sent < 64 << 20 && begin.elapsed() < Duration::from_secs(5),
        "it was cut off at {sent}"
    );
    assert!(served.asked.lock().unwrap().is_empty());
    assert_alive(&served).await;
}

#[tokio::test]
async fn garbage_is_no_request() {
    let served = Served::begin();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = served.connect().await;
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{garbage:?}");
        if let Some(answer) = super::served::Answer::parse(&rest) {
            assert!(
                (400..500).contains(&answer.status),
                "{garbage:?}: {answer:?}"
            );
        }
    }
    assert_alive(&served).await;
}

#[tokio::test]
async fn five_hundred_connections_leave_room_for_one_more() {
    let served = Served::begin();
    let mut crowd = Vec::new();
    for number in 0..500 {
        let mut stream = served.connect().await;
        if number % 2 == 0 {
            let _ = stream
                .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
                .await;
        }
        crowd.push(stream);
    }
    // all of them are still there, with ten seconds to say something
    assert_alive(&served).await;
    drop(crowd);
    assert_alive(&served).await;
}

#[tokio::test]
async fn who_does_not_read_gives_up_its_place() {
    let bounds = Bounds {
        connections: 4,
        ..impatient()
    };
    let served = Served::within(bounds, None);
    let file = served
        .directory
        .path()
        .join(format!("store/{}.json", served.entries[0].id));
    std::fs::write(file, vec![b' '; 64 << 20]).unwrap();
    let request = format!(
        "GET /api/v1/recordings/{}/json HTTP/1.1\r\nHost: localhost\r\n\r\n",
        served.entries[0].id
    );
    let mut lazy = Vec::new();
    for _ in 0..4 {
        let mut stream = served.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 100];
        stream.read_exact(&mut first).await.unwrap();
        lazy.push(stream);
    }
    // while all places are taken by answers under way, there is none
    assert!(served.raw(request.as_bytes()).await.is_none());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_alive(&served).await;
    for stream in &mut lazy {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest))
            .await
            .unwrap();
        assert!(rest.len() < 64 << 20);
    }
}

#[tokio::test]
async fn an_answer_takes_no_longer_than_it_may() {
    let bounds = Bounds {
        exchange: Duration::from_millis(600),
        ..Bounds::default()
    };
    let served = Served::within(bounds, None);
    // a recording that the supervisor does not end
    let body = r#"{"pid": 4711, "view": "heap", "seconds": 60}"#;
    let request = format!(
        "POST /api/v1/recordings?wait=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = served.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let took = until_closed(&mut stream).await;
    assert!(
        took > Duration::from_millis(500) && took < Duration::from_secs(4),
        "{took:?}"
    );
}

#[tokio::test]
async fn the_end_waits_for_nobody() {
    let served = Served::begin();
    let mut open = served.connect().await;
    open.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let _silent = served.connect().await;
    assert_alive(&served).await;
    assert!(served.end().await < Duration::from_secs(4));
}
