//! Who may see what. Over TCP: whoever is on this machine, or knows the token. Over the socket: root everything,
//! anybody else what belongs to processes of his own.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Longer ones do not fit into what is read of a request.
const LONGEST_TOKEN: usize = 1024;

/// Why access cannot be granted in the way that was asked for.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Anybody could read what is recorded.
    #[error(
        "{0} is reached from other machines, and no token is configured: anybody could read what is recorded; \
         name a file with a token, or listen on 127.0.0.1 only"
    )]
    NoToken(SocketAddr),
    /// The token's file cannot be read.
    #[error("the token cannot be read from {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Everybody on this machine knows the token.
    #[error("{0} can be read by everybody on this machine; take that away (chmod o= {0})")]
    Public(PathBuf),
    /// The token is no token.
    #[error(
        "{0} must hold a token of {SHORTEST_TOKEN} to {LONGEST_TOKEN} visible ASCII characters in one line; \
         make one with `openssl rand -hex 32`"
    )]
    Unfit(PathBuf),
}

/// What is asked of a client on TCP.
pub struct Access {
    /// What it must know, if anything.
    token: Option<Vec<u8>>,
    /// Names of this machine, lowercase, that a browser may call it by without a token.
    hosts: Vec<String>,
}

impl Access {
    /// For these addresses; fails if one is reached from other machines and there is no token. With a token,
    /// every client on TCP must know it. `hosts`: by which names, besides `localhost` and loopback addresses,
    /// a client without a token may call us.
    pub fn new(
        addresses: &[SocketAddr],
        token_file: Option<&Path>,
        hosts: &[String],
    ) -> Result<Self, AccessError> {
        let token = token_file.map(read_token).transpose()?;
        let beyond = |address: &&SocketAddr| !is_loopback(address.ip());
        if let (None, Some(address)) = (&token, addresses.iter().find(beyond)) {
            return Err(AccessError::NoToken(*address));
        }
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { token, hosts })
    }

    /// Whether clients on TCP must know a token.
    pub fn wants_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this `Authorization` header has the token: `Bearer TOKEN`, or `Basic` with it as password.
    pub(super) fn is_authorized(&self, header: Option<&[u8]>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let Some((scheme, rest)) = header.and_then(split) else {
            return false;
        };
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return bool::from(rest.ct_eq(token));
        }
        if scheme.eq_ignore_ascii_case(b"basic")
            && let Ok(pair) = BASE64_STANDARD.decode(rest)
            && let Some(colon) = pair.iter().position(|&byte| byte == b':')
        {
            return bool::from(pair[colon + 1..].ct_eq(token));
        }
        false
    }

    /// Whether a client may call us by this name (the `Host` header). Somebody's web page can let a browser
    /// look up a name of its own as 127.0.0.1 and then read from us as if from there (DNS rebinding); with a
    /// token that is no use, as the browser does not send it to that name.
    pub(super) fn is_our_name(&self, host: &str) -> bool {
        if self.token.is_some() {
            return true;
        }
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return is_loopback(address);
        }
        name == "localhost" || self.hosts.contains(&name)
    }
}

/// Only of this machine. An IPv4 address may come in IPv6's clothes.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// `Bearer xyz` in its two parts.
fn split(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = header.iter().position(|&byte| byte == b' ')?;
    Some((&header[..space], header[space..].trim_ascii()))
}

/// `name:80` or `[::1]:80` without the port.
fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            &host[..colon]
        }
        _ => host,
    }
}

fn read_token(path: &Path) -> Result<Vec<u8>, AccessError> {
    let unreadable = |source| AccessError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.permissions().mode() & 0o004 != 0 {
        return Err(AccessError::Public(path.to_owned()));
    }
    if !metadata.is_file() || metadata.len() > 2 * LONGEST_TOKEN as u64 {
        return Err(AccessError::Unfit(path.to_owned()));
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    let token = text.trim_ascii();
    let fits = (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len());
    if !fits || !token.iter().all(u8::is_ascii_graphic) {
        return Err(AccessError::Unfit(path.to_owned()));
    }
    Ok(token.to_vec())
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// A client on TCP.
    Tcp,
    /// A process of this user on this machine, as the kernel says.
    Unix {
        /// Its effective user.
        uid: u32,
    },
}

/// What somebody may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Viewer {
    /// Everything.
    All,
    /// What belongs to processes of this user.
    Only(u32),
}

impl Viewer {
    /// What this peer may see, once it is authorized.
    pub(super) fn of(peer: Peer) -> Self {
        match peer {
            Peer::Tcp | Peer::Unix { uid: 0 } => Self::All,
            Peer::Unix { uid } => Self::Only(uid),
        }
    }

    /// Whose processes only, if not everybody's.
    pub(super) fn only_uid(self) -> Option<u32> {
        match self {
            Self::All => None,
            Self::Only(own) => Some(own),
        }
    }

    /// Whether what belongs to a process of this user may be seen.
    pub(super) fn sees(self, uid: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(own) => own == uid,
        }
    }

    /// Whether this running process may be recorded for the viewer. As for ptrace, all of its user ids must be
    /// the viewer's: a set-user-id program was started by him and is not his. `/proc/PID` belongs to root when
    /// the process has had privileges that it dropped, or is not to be read by others of its user.
    pub(super) fn may_record(self, pid: u32) -> bool {
        let Self::Only(own) = self else {
            return true;
        };
        let Ok(process) = procfs::process::Process::new(pid.cast_signed()) else {
            return false;
        };
        let (Ok(owner), Ok(status)) = (process.uid(), process.status()) else {
            return false;
        };
        let ids = [status.ruid, status.euid, status.suid, status.fuid, owner];
        ids.iter().all(|&id| id == own)
    }
}
