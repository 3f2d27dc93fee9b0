//! The daemon from its start to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::config::{self, Config};
use super::http::{self, Access, Listeners};
use super::store::Store;
use super::supervisor::{Signal, Supervisor};
use super::{logging, systemd};
use crate::check;

/// Runs until SIGTERM or SIGINT. Fails at once where the configuration, the kernel, the store or an address to
/// listen on is not as it must be.
pub fn run(path: &Path) -> anyhow::Result<()> {
    let config = config::read(path)?;
    logging::begin(config.log)?;
    check::host()?;
    for trap in check::traps() {
        warn!("{trap}");
    }
    let (store, opened) = Store::open(&config.store.directory)?;
    for words in opened.put_right {
        warn!("{words}");
    }
    info!(
        recordings = opened.recordings,
        directory = %config.store.directory.display(),
        "the store is open"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(serve(config, path.to_owned(), Arc::new(store)))
}

async fn serve(config: Config, path: PathBuf, store: Arc<Store>) -> anyhow::Result<()> {
    // Before anything else: from now on a signal ends the daemon in order.
    let (sender, mut signals) = mpsc::channel(1);
    let http = config.http.as_ref();
    let addresses = http.map(|http| http.listen);
    let token_file = http.and_then(|http| http.token_file.as_deref());
    let hosts = http.map(|http| http.hosts.as_slice()).unwrap_or_default();
    let access = Access::new(addresses.as_slice(), token_file, hosts)?;
    let listeners = Listeners::bind(addresses.as_slice(), config.socket.as_ref())?;
    for address in listeners.addresses()? {
        info!(%address, "listening");
    }
    if let Some(socket) = &config.socket {
        info!(path = %socket.path.display(), "listening");
    }
    let listening = signals_of(path, &config, sender)?;
    let (supervisor, control) = Supervisor::new(config, Arc::clone(&store))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut web = tokio::spawn(http::serve(listeners, access, control, store, async {
        let _stopped = stopped.await;
    }));
    let signals_task = tokio::spawn(listening);
    let supervised = supervisor.run(&mut signals);
    systemd::ready();
    info!("ready");
    let result = tokio::select! {
        result = supervised => result,
        // It ends only when told to.
        ended = &mut web => Err(ended.map_or_else(anyhow::Error::from, |ended| {
            ended.err().unwrap_or_else(|| anyhow::anyhow!("the page's server ended"))
        })),
    };
    signals_task.abort();
    drop(stop);
    result
}

/// Hears signals and systemd's wish to hear of us.
fn signals_of(
    path: PathBuf,
    config: &Config,
    supervisor: mpsc::Sender<Signal>,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let mut hangup = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let fixed = Fixed::of(config);
    Ok(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hangup.recv() => {
                    systemd::reloading();
                    match config::read(&path) {
                        Ok(config) => {
                            fixed.compare(&config);
                            if supervisor.send(Signal::Reload(Box::new(config))).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => error!("the configuration stays as it was: {error}"),
                    }
                    systemd::ready();
                }
            }
        }
        systemd::stopping();
        // Fails when it has ended by itself.
        let _ended = supervisor.send(Signal::Stop).await;
    })
}

/// What a reload cannot change.
struct Fixed {
    http: Option<config::Http>,
    socket: Option<config::Socket>,
    directory: PathBuf,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            http: config.http.clone(),
            socket: config.socket.clone(),
            directory: config.store.directory.clone(),
        }
    }

    fn compare(&self, config: &Config) {
        let changed = [
            ("http", self.http != config.http),
            ("socket", self.socket != config.socket),
            ("store.directory", self.directory != config.store.directory),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            warn!("{key} has changed: that takes a restart");
        }
    }
}
