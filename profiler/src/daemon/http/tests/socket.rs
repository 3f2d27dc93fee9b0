//! The socket, with real processes of another user. Needs root, `setpriv` and `curl`.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::served::Served;

/// `nobody`.
const OTHER: &str = "65534";

/// A program as this real and effective user, with the group that the socket has here.
fn program_of(real: &str, effective: &str, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--ruid",
            real,
            "--euid",
            effective,
            "--regid",
            "0",
            "--clear-groups",
        ])
        .arg(program)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A client of this user: the answer's status and body.
async fn client(uid: &str, served: &Served, arguments: &[&str], path: &str) -> (u16, String) {
    let output = program_of(uid, uid, "curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--write-out",
            "\n%{http_code}",
        ])
        .arg("--unix-socket")
        .arg(&served.socket)
        .args(arguments)
        .arg(format!("http://localhost{path}"))
        .output()
        .await
        .expect("setpriv and curl are needed");
    let text = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    let (body, status) = text.rsplit_once('\n').expect(&words);
    (status.parse().unwrap(), body.to_owned())
}

/// A process that sleeps; returned once it is the sleeper, and no longer what changes the user.
async fn sleeper(real: &str, effective: &str) -> Child {
    let child = program_of(real, effective, "sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let comm = format!("/proc/{}/comm", child.id().unwrap());
    while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    child
}

fn served() -> Served {
    assert!(
        nix::unistd::Uid::effective().is_root(),
        "this test needs root"
    );
    let served = Served::begin();
    // others may reach the socket in this directory
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(served.directory.path(), mode).unwrap();
    // whoever is in the socket's group: here, root's
    nix::unistd::chown(&served.socket, None, Some(0.into())).unwrap();
    served
}

#[tokio::test]
async fn another_user_sees_what_is_his() {
    let served = served();
    let (status, body) = client(OTHER, &served, &[], "/api/v1/targets").await;
    assert_eq!(status, 200, "{body}");
    let seen: serde_json::Value = serde_json::from_str(&body).unwrap();
    let targets = seen["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 1, "{seen}");
    assert_eq!(targets[0]["processes"].as_array().unwrap().len(), 1);
    assert_eq!(targets[0]["processes"][0]["pid"], 815);
    assert!(
        !body.contains("storefront") && !body.contains("4711"),
        "{body}"
    );

    let (_, body) = client(OTHER, &served, &[], "/api/v1/recordings").await;
    let seen: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(seen["recordings"].as_array().unwrap().len(), 1, "{seen}");
    let (of_root, own) = (&served.entries[1].id, &served.entries[3].id);
    for path in ["", "/json", "/pprof", "/svg"] {
        let (status, _) = client(
            OTHER,
            &served,
            &[],
            &format!("/api/v1/recordings/{of_root}{path}"),
        )
        .await;
        assert_eq!(status, 404, "{path}");
        let (status, _) = client(
            OTHER,
            &served,
            &[],
            &format!("/api/v1/recordings/{own}{path}"),
        )
        .await;
        assert_eq!(status, 200, "{path}");
    }
    for (path, status) in [
        (format!("/recordings/{of_root}"), 404),
        (format!("/recordings/{own}"), 200),
        (format!("/diff?before={own}&after={of_root}"), 404),
        (format!("/api/v1/diff?before={of_root}&after={own}"), 404),
        ("/debug/pprof/heap?target=shop".to_owned(), 404),
        ("/debug/pprof/heap?target=shop&seconds=1".to_owned(), 404),
        ("/debug/pprof/heap?target=batch".to_owned(), 200),
    ] {
        assert_eq!(client(OTHER, &served, &[], &path).await.0, status, "{path}");
    }
    for path in ["/", "/metrics", "/api/v1/targets"] {
        let (_, body) = client(OTHER, &served, &[], path).await;
        // of how many others record, and with what success
        for hidden in [
            "failed",
            "not_stored",
            "events_lost",
            "daemon_",
            "3 recordings",
        ] {
            assert!(!body.contains(hidden), "{path}: {hidden}: {body}");
        }
        assert!(
            body.contains("815") && !body.contains("4711"),
            "{path}: {body}"
        );
    }
    let (_, body) = client("0", &served, &[], "/api/v1/recordings").await;
    let seen: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        seen["recordings"].as_array().unwrap().len(),
        served.entries.len()
    );
}

#[tokio::test]
async fn another_user_records_his_processes_and_no_others() {
    let served = served();
    let own = sleeper(OTHER, OTHER).await;
    let of_root = sleeper("0", "0").await;
    // as a set-user-id program that he started
    let privileged = sleeper(OTHER, "0").await;
    let lowered = sleeper("0", OTHER).await;
    let post = async |uid: &str, pid: u32, path: &str, more: &str| {
        let body = format!(r#"{{"pid": {pid}, "view": "heap"{more}}}"#);
        let arguments = [
            "--header",
            "Content-Type: application/json",
            "--data",
            &body,
        ];
        client(uid, &served, &arguments, path).await
    };
    let (start, stop) = ("/api/v1/recordings", "/api/v1/recordings/stop");
    let seconds = ", \"seconds\": 5";
    let own = own.id().unwrap();
    for other in [&of_root, &privileged, &lowered].map(|child| child.id().unwrap()) {
        assert_eq!(post(OTHER, other, start, seconds).await.0, 403);
        assert_eq!(post(OTHER, other, stop, "").await.0, 403);
    }
    // nobody's: not told apart from somebody else's
    assert_eq!(post(OTHER, i32::MAX as u32, start, seconds).await.0, 403);
    assert!(served.asked.lock().unwrap().is_empty());
    assert_eq!(post(OTHER, own, start, seconds).await.0, 200);
    assert_eq!(post(OTHER, own, stop, "").await.0, 200);
    assert_eq!(post("0", own, start, seconds).await.0, 200);
    // the supervisor looks again whose it is
    let asked = [
        format!("start {own} heap 5 only of {OTHER}"),
        format!("stop {own} heap only of {OTHER}"),
        format!("start {own} heap 5"),
    ];
    assert_eq!(*served.asked.lock().unwrap(), asked);
}
