//! A worker, as the daemon sees it.

use std::io::{PipeWriter, Write as _};
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::warn;

use super::message::{Message, Order};
use crate::daemon::entry::Id;

/// What is heard of a worker.
#[derive(Debug)]
pub enum Heard {
    /// It says something.
    Said(Message),
    /// It is gone, and how; nothing more comes of it.
    Gone(String),
}

/// A running worker. Dropping it has it stop and write; [`Self::kill`] does not.
pub struct Worker {
    /// Closed when it is to stop. Nobody else has this end: it stops, too, when the daemon is gone.
    input: Option<PipeWriter>,
    /// Dropped when it is to be killed.
    kill: Option<oneshot::Sender<()>>,
}

impl Worker {
    /// Starts one. `ear`: where what it says goes, under this name.
    pub fn start(
        order: &Order,
        id: &Id,
        ear: UnboundedSender<(Id, Heard)>,
    ) -> anyhow::Result<Self> {
        let mut line = serde_json::to_vec(order).context("writing the order")?;
        line.push(b'\n');
        let (theirs, mut input) = std::io::pipe().context("making a pipe")?;
        // A pipe takes this much at once, before anybody reads.
        input.write_all(&line).context("writing the order")?;
        // This very program, also when its file has been replaced meanwhile.
        let mut child = Command::new("/proc/self/exe")
            .arg0("unfreed")
            .arg("worker")
            // What systemd wants to hear it hears of the daemon.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a worker")?;
        let stdout = child.stdout.take().context("a worker without output")?;
        let stderr = child.stderr.take().context("a worker without errors")?;
        let (kill, killed) = oneshot::channel();
        let its = Its {
            child,
            stdout,
            stderr,
        };
        tokio::spawn(listen(its, id.clone(), ear, killed));
        Ok(Self {
            input: Some(input),
            kill: Some(kill),
        })
    }

    /// Has it end the recording and write what there is.
    pub fn stop(&mut self) {
        self.input = None;
    }

    /// Ends it at once, without a recording.
    pub fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            // Fails when it is gone anyway.
            let _gone = kill.send(());
        }
    }
}

/// The process, and what it writes.
struct Its {
    child: Child,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

/// Hears it to its last word, and waits for its end.
async fn listen(
    its: Its,
    id: Id,
    ear: UnboundedSender<(Id, Heard)>,
    killed: oneshot::Receiver<()>,
) {
    let Its {
        mut child,
        stdout,
        stderr,
    } = its;
    let said = async {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str::<Message>(&line) {
                Ok(message) => {
                    let is_last = message.is_last();
                    // Fails when the daemon ends: then nobody listens.
                    let _nobody = ear.send((id.clone(), Heard::Said(message)));
                    if is_last {
                        return;
                    }
                }
                Err(error) => warn!(recording = %id, "a worker said {line:?}: {error}"),
            }
        }
    };
    let logged = async {
        log(&id, stderr).await;
        // What it said before it closed that is still to be heard.
        std::future::pending::<()>().await;
    };
    let killed = async {
        // A worker that nobody holds any more is to stop by itself.
        if killed.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = said => {}
        () = logged => {}
        () = killed => drop(child.start_kill()),
    }
    let gone = match child.wait().await {
        Ok(status) => how(status),
        Err(error) => error.to_string(),
    };
    let _nobody = ear.send((id, Heard::Gone(gone)));
}

/// Logs what it says on standard error: that is of a defect, or of a kernel that refuses something.
async fn log(id: &Id, stderr: ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        warn!(recording = %id, "{line}");
    }
}

fn how(status: ExitStatus) -> String {
    if status.success() {
        "the worker ended".to_owned()
    } else {
        format!("the worker failed: {status}")
    }
}
