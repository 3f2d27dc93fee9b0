//! The metrics, scraped by a real Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use unfreed_tests::child::{Lines, Owned};
use unfreed_tests::daemon::{Client, Daemon, process};

use super::Copy;

const LIMIT: Duration = Duration::from_mins(2);
const MIB: u64 = 1 << 20;
/// What the program keeps.
const KEPT: u64 = 40;

/// A server of its own, which scrapes one daemon.
struct Prometheus {
    client: Client,
    _child: Owned,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn of(daemon: &Client) -> Result<Self> {
        let mut problem = None;
        // Between finding a port and using it somebody else may take it.
        for _ in 0..3 {
            match Self::start(daemon) {
                Ok(server) => return Ok(server),
                Err(error) => problem = Some(error),
            }
        }
        Err(problem.context("not even tried")?)
    }

    fn start(daemon: &Client) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n- job_name: unfreed\n  scrape_interval: 3s\n  scrape_timeout: 3s\n  \
             static_configs:\n  - targets: ['{}']\n",
            daemon.address
        );
        fs::write(&config, text)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new("/usr/bin/prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg("--storage.tsdb.path")
            .arg(directory.path().join("data"))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child =
            Owned::spawn(&mut command).context("starting prometheus (cargo xtask setup)")?;
        let stderr = Lines::of(child.child().stderr.take().context("its stderr")?);
        let client = Client { address };
        let begin = Instant::now();
        while !client
            .get("/-/ready")
            .is_ok_and(|(status, _)| status == 200)
        {
            if child.child().try_wait()?.is_some() || begin.elapsed() > LIMIT {
                drop(child);
                bail!("prometheus is not ready: {}", stderr.rest(LIMIT)?);
            }
            // Not for readiness: the interval of a poll that has a limit.
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self {
            client,
            _child: child,
            _directory: directory,
        })
    }

    /// The one value that this query has; none where nothing is known yet.
    fn value(&self, query: &str) -> Result<Option<f64>> {
        let mut escaped = String::new();
        for byte in query.bytes() {
            write!(escaped, "%{byte:02X}")?;
        }
        let answer = self
            .client
            .json(&format!("/api/v1/query?query={escaped}"))?;
        let result = answer["data"]["result"].as_array();
        match result.with_context(|| answer.to_string())?.as_slice() {
            [] => Ok(None),
            [one] => {
                let value = one["value"][1].as_str().context("no value")?;
                Ok(Some(value.parse()?))
            }
            many => bail!("{query}: {many:?}"),
        }
    }

    /// Waits for the next two scrapes: the second one begins after this.
    fn scraped_twice(&self) -> Result<()> {
        let scrapes = || self.value("count_over_time(up[1h])");
        let before = scrapes()?.unwrap_or_default();
        let begin = Instant::now();
        while scrapes()?.unwrap_or_default() < before + 2.0 {
            ensure!(begin.elapsed() < LIMIT, "it does not scrape");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Has promtool judge a text: what it says.
fn promtool(text: &[u8]) -> Result<String> {
    let mut child = Command::new("/usr/bin/promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting promtool (cargo xtask setup)")?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(text)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said += &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        said += &output.status.to_string();
    }
    Ok(said)
}

#[test]
fn it_finds_what_a_program_leaks() -> Result<()> {
    let program = Copy::of("grow")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let server = Prometheus::of(&daemon)?;
    let mut grower = program.recorded(&daemon, "")?;
    let pid = grower.pid();
    grower.tell(&KEPT.to_string())?;
    grower.expect("done")?;
    daemon.until_read(pid, |rss| rss > KEPT * MIB)?;
    let heap = daemon.until("/api/v1/targets", |status| {
        let bytes = &process(status, pid)?["recordings"]["heap"]["unfreed"]["bytes"];
        bytes.as_u64().filter(|&bytes| bytes >= KEPT * MIB)
    })?;
    let status = daemon.json("/api/v1/targets")?;
    let rss = process(&status, pid).context("gone")?["rss"].clone();
    server.scraped_twice()?;

    let of_it = format!("job=\"unfreed\",target=\"it\",pid=\"{pid}\",comm=\"grow\"");
    let value = |name: &str, more: &str| -> Result<f64> {
        let query = format!("{name}{{{of_it}{more}}}");
        server.value(&query)?.with_context(|| query)
    };
    let seen = value("unfreed_target_rss_bytes", "")?;
    ensure!(json!(seen as u64) == rss, "{seen} is not {rss}");
    let seen = value("unfreed_bytes", ",view=\"heap\"")?;
    ensure!(seen >= heap as f64, "{seen} of {heap}");
    ensure!(value("unfreed_observed_ratio", ",view=\"heap\"")? >= 1.0);
    let lost = server.value("sum(unfreed_lost_events_total)")?;
    ensure!(lost == Some(0.0), "{lost:?}");

    // All the time.
    ensure!(server.value("min_over_time(up{job=\"unfreed\"}[1h])")? == Some(1.0));
    let targets = server.client.json("/api/v1/targets")?;
    let scraped = &targets["data"]["activeTargets"][0];
    ensure!(
        scraped["lastError"] == json!("") && scraped["health"] == json!("up"),
        "{scraped}"
    );
    Ok(())
}

#[test]
fn promtool_finds_nothing_wrong_with_it() -> Result<()> {
    let program = Copy::of("endings")?;
    let daemon = Daemon::start(&program.target("it", ""))?;
    let process = program.recorded(&daemon, "exit")?;
    let pid = json!(process.pid());
    // With something of everything: a first report of the recording, and of the process's size.
    daemon.until("/api/v1/targets", |status| {
        let process = &status["targets"][0]["processes"][0];
        let losses = process["recordings"]["heap"]["losses"].as_object()?;
        let is_there = process["pid"] == pid && process["growth"] != Value::Null;
        (is_there && !losses.is_empty()).then_some(())
    })?;
    let (status, text) = daemon.get("/metrics")?;
    ensure!(status == 200, "{status}");
    let text = String::from_utf8(text)?;
    for name in ["unfreed_target_rss_bytes{", "unfreed_lost_events_total{"] {
        ensure!(text.contains(name), "no {name} in {text}");
    }
    let said = promtool(text.as_bytes())?;
    ensure!(said.is_empty(), "{said}{text}");
    let wrong = text.replace("# HELP unfreed_bytes ", "# HELP unfreed_else ");
    ensure!(
        !promtool(wrong.as_bytes())?.is_empty(),
        "it finds nothing at all"
    );
    Ok(())
}
