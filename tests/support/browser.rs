//! A real browser without a window: Chromium, spoken to over its pipe for debuggers (`--remote-debugging-pipe`: JSON
//! messages of its protocol for them, each ended by a zero byte, on descriptors 3 and 4).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use nix::errno::Errno;
use nix::libc;
use serde_json::{Value, json};

use crate::child::Owned;

const LIMIT: Duration = Duration::from_mins(1);

/// A browser with one page. Ended when dropped.
pub struct Browser {
    /// Dropped first: it is the parent of all its processes.
    _child: Owned,
    to: File,
    from: Receiver<Value>,
    next: u64,
    page: String,
    /// What came, in order.
    events: Vec<Value>,
    /// How many of them were there when a page was last loaded or asked for.
    before_load: usize,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let profile = tempfile::tempdir().context("creating a directory for the browser")?;
        let (its_input, to) = std::io::pipe().context("making a pipe")?;
        let (from, its_output) = std::io::pipe().context("making a pipe")?;
        // Out of the way of what they are to become.
        let (its_input, its_output) = (high(&its_input.into())?, high(&its_output.into())?);
        let (input, output) = (its_input.as_raw_fd(), its_output.as_raw_fd());
        let mut command = Command::new("chromium");
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--remote-debugging-pipe",
                "--window-size=1200,1600",
                "--mute-audio",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let become_3_and_4 = move || {
            // SAFETY: two system calls on descriptors that are open in the child.
            Errno::result(unsafe { libc::dup2(input, 3) })?;
            // SAFETY: as above.
            Errno::result(unsafe { libc::dup2(output, 4) })?;
            Ok(())
        };
        // SAFETY: runs between fork and exec, and makes only system calls that are allowed there.
        unsafe { command.pre_exec(become_3_and_4) };
        let child =
            Owned::spawn(&mut command).context("starting chromium (Debian package chromium)")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    break;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            _child: child,
            to: File::from(OwnedFd::from(to)),
            from: receiver,
            next: 0,
            page: String::new(),
            events: Vec::new(),
            before_load: 0,
            _profile: profile,
        };
        let target = browser.call("", "Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let page = browser.call("", "Target.attachToTarget", &attach)?;
        let page = page["sessionId"].as_str().context("no session")?.to_owned();
        browser.page.clone_from(&page);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&page, &format!("{domain}.enable"), &json!({}))?;
        }
        let frames = json!({"autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true});
        browser.call(&page, "Target.setAutoAttach", &frames)?;
        Ok(browser)
    }

    /// Opens an address, and waits until it is loaded.
    pub fn open(&mut self, url: &str) -> Result<()> {
        let page = self.page.clone();
        self.before_load = self.events.len();
        self.call(&page, "Page.navigate", &json!({"url": url}))?;
        self.loaded()
    }

    /// Waits until a page is loaded, or goes on if that was since the last time.
    pub fn loaded(&mut self) -> Result<()> {
        let is_load = |event: &Value| event["method"] == "Page.loadEventFired";
        if !self.events[self.before_load..].iter().any(is_load) {
            self.event(is_load)?;
        }
        self.before_load = self.events.len();
        Ok(())
    }

    /// What an expression is, on the page.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let page = self.page.clone();
        self.value_in(&page, expression)
    }

    /// The same in the frame that is a sandbox of its own.
    pub fn value_in_frame(&mut self, expression: &str) -> Result<Value> {
        let of_frame = |event: &Value| {
            event["method"] == "Target.attachedToTarget"
                && event["params"]["targetInfo"]["type"] == "iframe"
        };
        // The newest: others were of pages before.
        let known = self
            .events
            .iter()
            .rev()
            .find(|event| of_frame(event))
            .cloned();
        let event = match known {
            Some(event) => event,
            None => self.event(of_frame)?,
        };
        let session = event["params"]["sessionId"]
            .as_str()
            .context("no session")?;
        self.value_in(session, expression)
    }

    fn value_in(&mut self, session: &str, expression: &str) -> Result<Value> {
        let what = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call(session, "Runtime.evaluate", &what)?;
        if !answer["exceptionDetails"].is_null() {
            bail!("{expression}: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true on the page.
    pub fn until(&mut self, expression: &str) -> Result<()> {
        let begin = Instant::now();
        while self.value(expression)? != Value::Bool(true) {
            if begin.elapsed() > LIMIT {
                bail!("the page has not come to {expression}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Clicks on a point of the page, with the mouse.
    pub fn click(&mut self, x: f64, y: f64) -> Result<()> {
        let page = self.page.clone();
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call(&page, "Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Presses the key that goes to what is next on the page.
    pub fn tab(&mut self) -> Result<()> {
        let page = self.page.clone();
        for kind in ["keyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            self.call(&page, "Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Light or dark.
    pub fn prefer(&mut self, scheme: &str) -> Result<()> {
        let page = self.page.clone();
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call(&page, "Emulation.setEmulatedMedia", &media)
            .map(drop)
    }

    /// What the page said on the console, what went wrong in its scripts, and requests that failed, as messages of the
    /// protocol; and the addresses it asked for.
    pub fn heard(&self) -> (Vec<&Value>, Vec<String>) {
        const COMPLAINTS: [&str; 4] = [
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Network.loadingFailed",
        ];
        let complaints = self.events.iter().filter(|event| {
            COMPLAINTS
                .iter()
                .any(|complaint| event["method"] == *complaint)
        });
        let asked = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        let asked = asked.filter_map(|event| event["params"]["request"]["url"].as_str());
        (complaints.collect(), asked.map(str::to_owned).collect())
    }

    /// A picture of the page, PNG.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let page = self.page.clone();
        let picture = self.call(&page, "Page.captureScreenshot", &json!({"format": "png"}))?;
        let data = picture["data"].as_str().context("no picture")?;
        BASE64_STANDARD
            .decode(data)
            .context("a picture that is not one")
    }

    fn call(&mut self, session: &str, method: &str, parameters: &Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !session.is_empty() {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to
            .write_all(&bytes)
            .context("speaking to the browser")?;
        loop {
            let heard = self.hear().with_context(|| method.to_owned())?;
            if heard["id"] == json!(id) {
                if !heard["error"].is_null() {
                    bail!("{method}: {}", heard["error"]);
                }
                return Ok(heard["result"].clone());
            }
            self.events.push(heard);
        }
    }

    fn event(&mut self, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let heard = self.hear()?;
            self.events.push(heard.clone());
            if is_it(&heard) {
                return Ok(heard);
            }
        }
    }

    fn hear(&self) -> Result<Value> {
        self.from
            .recv_timeout(LIMIT)
            .context("the browser says nothing")
    }
}

/// The same file under a number that is not one of the first.
fn high(file: &OwnedFd) -> Result<OwnedFd> {
    // SAFETY: one system call on a descriptor that is open.
    let copy = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10) };
    let copy = Errno::result(copy).context("copying a descriptor")?;
    // SAFETY: a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
