//! What descriptors stand for, in words.

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
pub(super) fn socket_name(socket: &Socket) -> String {
    let Socket { local, .. } = socket;
    match socket.peer {
        Some(peer) => format!("{} {local}->{peer}", protocol(socket)),
        None => format!("{} {local}", protocol(socket)),
    }
}

fn protocol(socket: &Socket) -> &'static str {
    match i32::from(socket.socket_type) {
        libc::SOCK_STREAM => "tcp",
        libc::SOCK_DGRAM => "udp",
        _ => "socket",
    }
}

/// What connections have in common: a client's have the peer, a server's its own address. Where the ports do not tell
/// which is which, both ends.
pub(super) fn group(object: &Object, name: Option<&str>, redact: bool) -> String {
    let name = || name.unwrap_or_else(|| kind(object)).to_owned();
    let Some(socket) = object.socket.filter(|_| !redact) else { return name() };
    let Some(peer) = socket.peer else { return name() };
    match (socket.local.port() >= EPHEMERAL, peer.port() >= EPHEMERAL) {
        (true, false) => format!("{} *->{peer}", protocol(&socket)),
        (false, true) => format!("{} {}->*", protocol(&socket), socket.local),
        _ => name(),
    }
}

/// What kind of thing it is.
pub(super) fn kind(object: &Object) -> &'static str {
    if let Some(socket) = &object.socket {
        return protocol(socket);
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
            group(&object, Some("both"), false)
        };
        assert_eq!(group("10.0.0.1:40000", "10.0.0.7:443"), "tcp *->10.0.0.7:443");
        assert_eq!(group("10.0.0.1:80", "10.0.0.7:40000"), "tcp 10.0.0.1:80->*");
        assert_eq!(group("10.0.0.1:40000", "10.0.0.7:40001"), "both");
    }
}
