//! The sockets of a process's own network namespace, from `/proc/PID/net`.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{redact, unix};
use crate::target::process::Process;
use crate::target::rows::Rows;

/// A node's table of sockets is longer only when someone made it so.
const MOST_TABLE: u64 = 256 << 20;

/// What a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Of the internet's protocols.
    Internet {
        /// `tcp` or `udp`, over either version of IP.
        protocol: &'static str,
        /// Its own address.
        local: SocketAddr,
        /// The other side's; none of one that is not connected.
        peer: Option<SocketAddr>,
        /// Why it is not an established connection, in words.
        state: Option<&'static str>,
    },
    /// Of this machine.
    Unix {
        /// Its path, or the name behind an `@`.
        path: Option<String>,
        /// The other side's, when the kernel tells: a client has none itself.
        peer: Option<String>,
    },
    /// Any other: of the kernel's (netlink), raw, or one that was not found in the tables.
    Other,
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |address| address.to_string(), |path| format!(" {path}"))
    }
}

impl Socket {
    /// As [`fmt::Display`], with [`redact::address`] for every address, and no paths.
    pub(super) fn write_redacted(&self, f: &mut impl fmt::Write) -> fmt::Result {
        self.write(f, redact::address, |_| String::new())
    }

    fn write(
        &self,
        f: &mut impl fmt::Write,
        address: impl Fn(SocketAddr) -> String,
        named: impl Fn(&str) -> String,
    ) -> fmt::Result {
        match self {
            Self::Internet { protocol, local, peer, state } => {
                write!(f, "{protocol} {}", address(*local))?;
                if let Some(peer) = peer {
                    write!(f, "->{}", address(*peer))?;
                }
                state.map_or(Ok(()), |state| write!(f, " ({state})"))
            }
            Self::Unix { path, peer } => {
                f.write_str("unix")?;
                f.write_str(&path.as_deref().map(&named).unwrap_or_default())?;
                // An accepted connection has the path of its listener, and a client the other side's.
                match peer.as_deref().map(&named).filter(|peer| !peer.is_empty()) {
                    Some(peer) => write!(f, " ->{peer}"),
                    None => Ok(()),
                }
            }
            Self::Other => f.write_str("socket"),
        }
    }
}

/// Finds the sockets with these inodes, in one pass over each table.
pub(super) fn find(process: &Process, mut wanted: impl FnMut(u64) -> bool) -> HashMap<u64, Socket> {
    let mut found = HashMap::new();
    let table = |name: &str| File::open(process.path("net").join(name)).ok();
    for (name, protocol) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        if let Some(table) = table(name) {
            in_internet(table, protocol, &mut wanted, &mut found);
        }
    }
    let local = table("unix").map(|table| in_unix(table, &mut wanted, &mut found)).unwrap_or_default();
    if !local.is_empty() {
        for (inode, name) in unix::peers(process, &local) {
            if let Some(Socket::Unix { peer, .. }) = found.get_mut(&inode) {
                *peer = Some(name);
            }
        }
    }
    found
}

/// Adds those of a table of an internet protocol.
pub(in crate::target) fn in_internet(
    table: impl Read,
    protocol: &'static str,
    mut wanted: impl FnMut(u64) -> bool,
    found: &mut HashMap<u64, Socket>,
) {
    rows(table, |columns| {
        let Some(inode) = columns.get(9).and_then(|inode| inode.parse().ok()) else { return };
        if wanted(inode)
            && let Some(socket) = internet(protocol, columns)
        {
            found.insert(inode, socket);
        }
    });
}

/// Adds those of the table of this machine's own sockets, and says which they are.
pub(in crate::target) fn in_unix(
    table: impl Read,
    mut wanted: impl FnMut(u64) -> bool,
    found: &mut HashMap<u64, Socket>,
) -> Vec<u64> {
    let mut local = Vec::new();
    rows(table, |columns| {
        let Some(inode) = columns.get(6).and_then(|inode| inode.parse().ok()) else { return };
        if wanted(inode) {
            let path = (columns.len() > 7).then(|| columns[7..].join(" "));
            found.insert(inode, Socket::Unix { path, peer: None });
            local.push(inode);
        }
    });
    local
}

fn internet(protocol: &'static str, columns: &[&str]) -> Option<Socket> {
    let (local, peer) = (address(columns.get(1)?)?, address(columns.get(2)?)?);
    let state = tcp_state(columns.get(3)?).filter(|_| protocol == "tcp");
    Some(Socket::Internet { protocol, local, peer: (peer.port() != 0).then_some(peer), state })
}

/// Hands out the columns of each row of a table in `/proc/PID/net`, but for the first, which names them.
fn rows(table: impl Read, mut each: impl FnMut(&[&str])) {
    let mut rows = Rows::new(table, MOST_TABLE);
    let mut is_first = true;
    while let Some(row) = rows.next_row() {
        if !std::mem::take(&mut is_first) {
            each(&String::from_utf8_lossy(row).split_whitespace().collect::<Vec<_>>());
        }
    }
}

/// `0100007F:1F90`: each word of four bytes as the processor has it in memory, and the port
/// (net/ipv4/tcp_ipv4.c, `get_tcp4_sock`).
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(host.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            let ip = Ipv6Addr::from(bytes);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The states that say why a wait is long (include/net/tcp_states.h); an established connection needs no word.
fn tcp_state(number: &str) -> Option<&'static str> {
    match number {
        "02" => Some("connecting"),
        "03" => Some("half open"),
        "07" => Some("closed"),
        "08" => Some("closed by the other side"),
        "0A" => Some("listening"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_as_the_kernel_writes_them() {
        assert_eq!(address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        let local6 = "00000000000000000000000001000000:0050";
        assert_eq!(address(local6), Some("[::1]:80".parse().unwrap()));
        let mapped = "0000000000000000FFFF00000700000A:01BB";
        assert_eq!(address(mapped), Some("10.0.0.7:443".parse().unwrap()));
        for bad in ["", ":", "0100007F", "0100007:1F90", "xx00007F:1F90", "0100007F:1F90F"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
