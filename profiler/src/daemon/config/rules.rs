//! What the values of a configuration must agree in, and their defaults.

mod targets;

use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use toml::Spanned;
use tracing::Level;

use super::document::{self, Document};
use super::settings::{Config, Http, Socket, Store};
use crate::daemon::store::Retention;
use crate::quantity::size::Size;
use crate::quantity::time::Time;

const LISTEN: &str = "127.0.0.1:7070";
const SOCKET: &str = "/run/unfreed/unfreed.sock";
const GROUP: &str = "unfreed";
const DIRECTORY: &str = "/var/lib/unfreed";
const SAMPLE_EVERY: Duration = Duration::from_secs(10);

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// What is kept if nothing else is asked for.
const KEPT: Retention = Retention {
    max_age: Some(DAY.saturating_mul(30)),
    max_count: Some(10_000),
    max_size: Some(1 << 30),
};

/// The longest path of a Unix socket, bytes (`sun_path`, and the zero at its end).
const LONGEST_SOCKET: usize = 107;

/// How long something may be kept. What is gone before somebody can look at it helps nobody, and time is not to
/// overflow.
const AGE: RangeInclusive<Duration> = Duration::from_mins(1)..=DAY.saturating_mul(3650);

/// Less has room for no recording.
const LEAST_SIZE: u64 = 1 << 20;

/// Fills in what is not given. Fails with everything that is wrong, in the order of the text: where (a byte of it),
/// and what.
pub fn resolve(document: Document) -> Result<Config, Vec<(usize, String)>> {
    let Document {
        sample_every,
        http,
        socket,
        store,
        log,
        target,
    } = document;
    let mut check = Check::default();
    let config = Config {
        http: http.and_then(|http| check.http(http)),
        socket: socket.map(|socket| check.socket(socket)),
        store: check.store(store),
        log: level(&log),
        sample_every: check.time(
            sample_every.as_ref(),
            SAMPLE_EVERY,
            &(Duration::from_secs(1)..=HOUR),
        ),
        targets: Vec::new(),
    };
    let targets = check.targets(target, config.sample_every);
    let Check { mut found } = check;
    if found.is_empty() {
        return Ok(Config { targets, ..config });
    }
    found.sort_by_key(|(at, _)| *at);
    Err(found)
}

/// What was found to be wrong so far. Whatever is returned for a wrong value is used by nobody in the end.
#[derive(Default)]
struct Check {
    found: Vec<(usize, String)>,
}

impl Check {
    fn wrong(&mut self, place: &Range<usize>, message: impl Into<String>) {
        self.found.push((place.start, message.into()));
    }

    /// Reads a value, if there is one.
    fn parsed<T>(
        &mut self,
        value: Option<&Spanned<String>>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = value?;
        parse(value.get_ref())
            .map_err(|message| self.wrong(&value.span(), message))
            .ok()
    }

    fn time(
        &mut self,
        value: Option<&Spanned<Time>>,
        default: Duration,
        allowed: &RangeInclusive<Duration>,
    ) -> Duration {
        self.given_time(value, allowed).unwrap_or(default)
    }

    fn given_time(
        &mut self,
        value: Option<&Spanned<Time>>,
        allowed: &RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = value?;
        let Time(time) = *value.get_ref();
        if !allowed.contains(&time) {
            let (least, most) = (shown(*allowed.start()), shown(*allowed.end()));
            let message = format!("{} is not from {least} to {most}", shown(time));
            self.wrong(&value.span(), message);
        }
        Some(time)
    }

    fn given_count(
        &mut self,
        value: Option<&Spanned<i64>>,
        allowed: &RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = value?;
        let count = *value.get_ref();
        if !allowed.contains(&count) {
            let (least, most) = (allowed.start(), allowed.end());
            let message = match *most {
                i64::MAX => format!("{count} is less than {least}"),
                most => format!("{count} is not from {least} to {most}"),
            };
            self.wrong(&value.span(), message);
        }
        Some(count)
    }

    fn path(&mut self, value: Option<&Spanned<String>>) -> Option<PathBuf> {
        self.parsed(value, |text| {
            let path = PathBuf::from(text);
            if path.is_absolute() && !text.contains('\0') {
                return Ok(path);
            }
            Err(format!(
                "{text:?} depends on the directory that the daemon is started in; write the path from the root"
            ))
        })
    }

    fn http(&mut self, http: document::Http) -> Option<Http> {
        let document::Http {
            listen,
            token_file,
            hosts,
        } = http;
        let hosts = hosts.unwrap_or_default();
        let hosts = hosts
            .iter()
            .filter_map(|host| self.parsed(Some(host), host_name))
            .collect();
        let token_file = self.path(token_file.as_ref());
        let text = listen.as_ref().map_or(LISTEN, |listen| listen.get_ref());
        if text.is_empty() {
            return None;
        }
        let place = listen.as_ref().map_or(0..0, Spanned::span);
        let Ok(listen) = text.parse::<SocketAddr>() else {
            self.wrong(
                &place,
                format!(
                    "{text:?} is no address with a port, such as \"{LISTEN}\" or \"[::1]:7070\"; \"\" is none"
                ),
            );
            return None;
        };
        if !listen.ip().to_canonical().is_loopback() && token_file.is_none() {
            self.wrong(
                &place,
                format!(
                    "{listen} can be reached from other hosts, and whoever reaches it may profile every process; \
                     give a token_file, or listen on \"{LISTEN}\""
                ),
            );
        }
        Some(Http {
            listen,
            token_file,
            hosts,
        })
    }

    fn socket(&mut self, socket: document::Socket) -> Socket {
        let document::Socket { path, group } = socket;
        let group = self.parsed(group.as_ref(), |text| match text {
            "" => Err("a group has a name; leave the key out to have the default".to_owned()),
            name => Ok(name.to_owned()),
        });
        if let Some(path) = &path
            && path.get_ref().len() > LONGEST_SOCKET
        {
            let message = format!("the path of a socket has at most {LONGEST_SOCKET} bytes");
            self.wrong(&path.span(), message);
        }
        Socket {
            path: self.path(path.as_ref()).unwrap_or_else(|| SOCKET.into()),
            group: group.unwrap_or_else(|| GROUP.to_owned()),
        }
    }

    fn store(&mut self, store: document::Store) -> Store {
        let document::Store {
            directory,
            max_age,
            max_count,
            max_size,
        } = store;
        let directory = self.path(directory.as_ref());
        let given = self.retention(max_age.as_ref(), max_count.as_ref(), max_size.as_ref());
        Store {
            directory: directory.unwrap_or_else(|| DIRECTORY.into()),
            retention: Retention {
                max_age: given.max_age.or(KEPT.max_age),
                max_count: given.max_count.or(KEPT.max_count),
                max_size: given.max_size.or(KEPT.max_size),
            },
        }
    }

    fn retention(
        &mut self,
        max_age: Option<&Spanned<Time>>,
        max_count: Option<&Spanned<i64>>,
        max_size: Option<&Spanned<Size>>,
    ) -> Retention {
        if let Some(size) = max_size
            && size.get_ref().0 < LEAST_SIZE
        {
            self.wrong(&size.span(), "less than 1MiB has room for no recording");
        }
        Retention {
            max_age: self.given_time(max_age, &AGE),
            max_count: self
                .given_count(max_count, &(1..=i64::MAX))
                .map(i64::cast_unsigned),
            max_size: max_size.map(|size| size.get_ref().0),
        }
    }
}

/// As a browser sends it, without a port.
fn host_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(format!(
            "{text:?} is no host's name, such as \"build-7.example.org\"; leave out https:// and the port"
        ));
    }
    Ok(text.to_ascii_lowercase())
}

fn level(log: &document::Log) -> Level {
    let document::Log { level } = log;
    match *level {
        Some(document::Level::Error) => Level::ERROR,
        Some(document::Level::Warn) => Level::WARN,
        Some(document::Level::Info) | None => Level::INFO,
        Some(document::Level::Debug) => Level::DEBUG,
        Some(document::Level::Trace) => Level::TRACE,
    }
}

/// As a user would type it.
fn shown(time: Duration) -> String {
    let days = time.as_secs() / DAY.as_secs();
    if days > 0 && time == DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)) {
        return format!("{days}d");
    }
    SignedDuration::try_from(time).map_or_else(
        |_| format!("{}s", time.as_secs()),
        |signed| format!("{signed:#}").replace(' ', ""),
    )
}
