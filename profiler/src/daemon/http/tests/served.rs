//! The service, and the simplest of clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::super::connections::Bounds;
use super::super::{ASKED, App, Listeners, RENDERS, serve_within};
use super::{status, stored};
use crate::daemon::config::Socket;
use crate::daemon::control::{Control, Request};
use crate::daemon::entry::Entry;
use crate::daemon::http::Access;

/// A running service. Its files go when it is dropped.
pub struct Served {
    /// Where on TCP.
    pub address: SocketAddr,
    /// Where on this machine.
    pub socket: PathBuf,
    /// What is in its store, oldest first.
    pub entries: Vec<Entry>,
    /// What the supervisor was asked, in words.
    pub asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<Notify>,
    task: JoinHandle<anyhow::Result<()>>,
    /// Of the store and the socket.
    pub directory: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, lowercase.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// What an answer is made of; `None` if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = bytes[end + 4..].to_vec();
        Some(Self { status, head, body })
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn only(uid: Option<u32>) -> String {
    uid.map_or_else(String::new, |uid| format!(" only of {uid}"))
}

impl Served {
    /// With the default bounds and no token.
    pub fn begin() -> Self {
        Self::within(Bounds::default(), None)
    }

    /// With these bounds; `token`: a file.
    pub fn within(bounds: Bounds, token: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (store, entries) = stored::some(&directory.path().join("store"));
        let socket = directory.path().join("unfreed.sock");
        let local = ["127.0.0.1:0".parse().unwrap()];
        let listeners = Listeners::bind(
            &local,
            Some(&Socket {
                path: socket.clone(),
                group: "unfreed".to_owned(),
            }),
        )
        .unwrap();
        let address = listeners.addresses().unwrap()[0];
        let access = Access::new(&local, token, &[]).unwrap();
        let (requests, mut heard) = mpsc::channel(64);
        let (_, status) = watch::channel(Arc::new(status::made_up()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, id) = (Arc::clone(&asked), entries[1].id.clone());
        tokio::spawn(async move {
            // answers of recordings that nobody waits for
            let mut pending = Vec::new();
            while let Some(request) = heard.recv().await {
                let (words, answer) = match request {
                    Request::Start {
                        pid,
                        view,
                        duration,
                        only_uid,
                        answer,
                    } => {
                        let seconds = duration.as_secs();
                        let words = format!("start {pid} {} {seconds}", view.name());
                        (words + &only(only_uid), answer)
                    }
                    Request::Stop {
                        pid,
                        view,
                        only_uid,
                        answer,
                    } => {
                        let words = format!("stop {pid} {}", view.name());
                        (words + &only(only_uid), answer)
                    }
                };
                let long = words.ends_with(" 60");
                let refused = words.contains(" 999 ");
                noted.lock().unwrap().push(words);
                if long {
                    pending.push(answer);
                } else if refused {
                    answer
                        .send(Err("there is no process 999".to_owned()))
                        .unwrap();
                } else {
                    answer.send(Ok(id.clone())).unwrap();
                }
            }
        });
        let app = App {
            control: Control { requests, status },
            store: Arc::new(store),
            access: Arc::new(access),
            renders: Arc::new(Semaphore::new(RENDERS)),
            asked: Arc::new(Semaphore::new(ASKED)),
        };
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let stopped = async move { stopped.notified().await };
        let task = tokio::spawn(serve_within(bounds, listeners, app, stopped));
        Self {
            address,
            socket,
            entries,
            asked,
            stop,
            task,
            directory,
        }
    }

    /// Ends it, and says how long that took.
    pub async fn end(self) -> Duration {
        let begin = std::time::Instant::now();
        self.stop.notify_one();
        self.task.await.unwrap().unwrap();
        begin.elapsed()
    }

    /// A connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads until the other side has said all.
    pub async fn raw(&self, bytes: &[u8]) -> Option<Answer> {
        let mut stream = self.connect().await;
        // the other side may have stopped listening before the end
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Answer::parse(&answer)
    }

    /// A request with these headers (each with its line's end) and this body.
    pub async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{length}{headers}\r\n{body}",
            self.address
        );
        self.raw(request.as_bytes())
            .await
            .expect("there is an answer")
    }

    /// A plain request.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    /// A request with a body of JSON.
    pub async fn post(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = "Content-Type: application/json\r\n";
        self.ask(method, path, headers, body).await
    }
}
