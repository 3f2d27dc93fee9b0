//! Where requests come in: bound before anything is recorded, so that an address that cannot be had is told at
//! the start.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::unistd::{Gid, Group, chown};

use crate::daemon::config::Socket;

/// Bound addresses. The socket's file is removed on drop.
#[derive(Debug)]
pub struct Listeners {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) unix: Option<UnixListener>,
    /// The file of `unix`.
    socket: Option<PathBuf>,
}

impl Listeners {
    /// Binds all of them. The socket gets mode 0660 and, if there is one of that name, its group. A socket file on
    /// which nobody listens is replaced; anything else at that path is an error.
    pub fn bind(addresses: &[SocketAddr], socket: Option<&Socket>) -> anyhow::Result<Self> {
        let mut tcp = Vec::new();
        for address in addresses {
            let listener = TcpListener::bind(address).with_context(|| {
                format!(
                    "cannot listen on {address}; choose another address, or end what listens there"
                )
            })?;
            listener.set_nonblocking(true)?;
            tcp.push(listener);
        }
        let unix = socket
            .map(|Socket { path, group }| {
                bind_socket(path, group)
                    .with_context(|| format!("cannot listen on {}", path.display()))
            })
            .transpose()?;
        Ok(Self {
            tcp,
            unix,
            socket: socket.map(|socket| socket.path.clone()),
        })
    }

    /// The addresses, with the ports that were chosen where port 0 was asked for.
    pub fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.tcp
            .iter()
            .map(|listener| listener.local_addr().context("reading a bound address"))
            .collect()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(path) = &self.socket {
            // gone already, or not ours to remove any more: nothing to be done about it
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds in a directory that only we can enter, and moves the socket to its place when its owner and mode are
/// right: nobody can connect before.
fn bind_socket(path: &Path, group: &str) -> anyhow::Result<UnixListener> {
    replaceable(path)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let private = tempfile::Builder::new()
        .prefix(".u")
        .rand_bytes(4)
        .tempdir_in(parent)
        .with_context(|| format!("no file can be made in {}", parent.display()))?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    listener.set_nonblocking(true)?;
    if let Some(group) = named(group) {
        chown(&made, None, Some(group))
            .with_context(|| format!("giving the socket to the group {group}"))?;
    }
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o660))?;
    std::fs::rename(&made, path)?;
    Ok(listener)
}

/// The group of that name. A group database that cannot be read is one without it: the socket is root's then.
fn named(group: &str) -> Option<Gid> {
    Group::from_name(group)
        .ok()
        .flatten()
        .map(|group| group.gid)
}

/// Whether nothing is there, or a socket that nobody listens on.
fn replaceable(path: &Path) -> anyhow::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !metadata.file_type().is_socket() {
        bail!("there is something that is not a socket; remove it, or choose another path");
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("somebody listens there already; is another daemon running?"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("whether somebody listens there cannot be told"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(path: &Path) -> Socket {
        Socket {
            path: path.to_owned(),
            group: "unfreed".to_owned(),
        }
    }

    #[test]
    fn a_socket_of_the_dead_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("unfreed.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = Listeners::bind(&[], Some(&socket(&path))).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();

        let error = Listeners::bind(&[], Some(&socket(&path))).unwrap_err();
        assert!(format!("{error:#}").contains("another daemon"), "{error:#}");
        UnixStream::connect(&path).unwrap();

        drop(bound);
        assert!(!path.exists());
        // nothing of ours is left beside it
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("unfreed.sock");
        std::fs::write(&path, "precious").unwrap();
        let error = Listeners::bind(&[], Some(&socket(&path))).unwrap_err();
        assert!(format!("{error:#}").contains("not a socket"), "{error:#}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn an_address_in_use_is_told_at_once() {
        let first = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], None).unwrap();
        let taken = first.addresses().unwrap();
        let error = Listeners::bind(&taken, None).unwrap_err();
        assert!(format!("{error:#}").contains(&taken[0].to_string()));
    }
}
