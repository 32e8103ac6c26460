//! What descriptors stand for, in words.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::event::blocking::{Object, Socket};

/// Linux gives these to sockets that ask for no port (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// Names what descriptors stand for.
pub trait ObjectNames {
    /// In words: `file /etc/hosts`, `fifo /run/f`, `pipe`, `unix /run/s`. `fd` is the descriptor that it had when it
    /// was used, which may be another's by now: what it is now must be the same inode to be its name. None when that
    /// cannot be told. Must not wait.
    fn name(&self, object: &Object, fd: Option<u64>) -> Option<String>;
}

/// `tcp 10.0.0.1:4242->10.0.0.7:443`
fn socket_name(socket: &Socket) -> String {
    let Socket { socket_type, local, peer } = socket;
    let protocol = protocol(*socket_type);
    peer.map_or_else(|| format!("{protocol} {local}"), |peer| format!("{protocol} {local}->{peer}"))
}

fn protocol(socket_type: u16) -> &'static str {
    match i32::from(socket_type) {
        libc::SOCK_STREAM => "tcp",
        libc::SOCK_DGRAM => "udp",
        _ => "socket",
    }
}

/// What a descriptor is called. Small: most are only counted, and their words are made where they are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// A connection by its addresses, whichever descriptor it has.
    Socket(Socket),
    /// What was asked about by the answer.
    Asked(Arc<str>),
    /// By its kind only: names are left out.
    Redacted(&'static str),
}

impl Named {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Socket(socket) => socket_name(socket),
            Self::Asked(name) => name.as_ref().to_owned(),
            Self::Redacted(kind) => (*kind).to_owned(),
        }
    }
}

/// What descriptors have in common that are summed up together. Where a connection's ports do not tell which end is
/// which, it is by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ObjectGroup {
    /// A client's connections have the peer.
    To(u16, SocketAddr),
    /// A server's its own address.
    Of(u16, SocketAddr),
    /// All that are called so.
    One(Named),
}

impl ObjectGroup {
    pub(super) fn of(named: &Named) -> Self {
        let Named::Socket(Socket { socket_type, local, peer: Some(peer) }) = named else {
            return Self::One(named.clone());
        };
        match (local.port() >= EPHEMERAL, peer.port() >= EPHEMERAL) {
            (true, false) => Self::To(*socket_type, *peer),
            (false, true) => Self::Of(*socket_type, *local),
            _ => Self::One(named.clone()),
        }
    }

    /// `tcp *->10.0.0.7:443`, `tcp 10.0.0.1:80->*`
    pub(super) fn text(&self) -> String {
        match self {
            Self::To(socket_type, peer) => format!("{} *->{peer}", protocol(*socket_type)),
            Self::Of(socket_type, local) => format!("{} {local}->*", protocol(*socket_type)),
            Self::One(named) => named.text(),
        }
    }
}

/// What kind of thing it is.
pub(super) fn kind(object: &Object) -> &'static str {
    if let Some(socket) = &object.socket {
        return protocol(socket.socket_type);
    }
    type_name(object.mode & libc::S_IFMT)
}

/// What kind of thing the `S_IFMT` bits of a mode stand for.
#[must_use]
pub fn type_name(file_type: u32) -> &'static str {
    match file_type {
        libc::S_IFSOCK => "socket",
        libc::S_IFREG => "file",
        libc::S_IFDIR => "directory",
        libc::S_IFIFO => "pipe",
        libc::S_IFCHR | libc::S_IFBLK => "device",
        _ => "object",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::blocking::Name;

    pub(in super::super) fn connection(local: &str, peer: &str) -> Object {
        let socket =
            Socket { socket_type: 1, local: local.parse().unwrap(), peer: Some(peer.parse().unwrap()) };
        Object {
            device: (0, 8),
            inode: 1,
            mode: libc::S_IFSOCK | 0o777,
            socket: Some(socket),
            name: Name::NONE,
        }
    }

    #[test]
    fn connections_are_grouped_by_the_end_that_stays() {
        let group = |local, peer| {
            let object = connection(local, peer);
            ObjectGroup::of(&Named::Socket(object.socket.unwrap())).text()
        };
        assert_eq!(group("10.0.0.1:40000", "10.0.0.7:443"), "tcp *->10.0.0.7:443");
        assert_eq!(group("10.0.0.1:80", "10.0.0.7:40000"), "tcp 10.0.0.1:80->*");
        assert_eq!(group("10.0.0.1:40000", "10.0.0.7:40001"), "tcp 10.0.0.1:40000->10.0.0.7:40001");
    }
}
