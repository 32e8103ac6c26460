//! What a file descriptor of another process stands for.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;

use super::process::Process;

/// A node's table of sockets is longer only when someone made it so.
const MOST_SOCKET_TABLE: u64 = 256 << 20;

impl Process {
    /// What that descriptor stands for, in words: `tcp 10.0.0.1:4242->10.0.0.7:443`, `file /etc/hosts`,
    /// `fifo /run/f`, `pipe`; none when it is not open.
    #[must_use]
    pub fn object(&self, fd: u64) -> Option<String> {
        let link = self.path("fd").join(fd.to_string());
        let target = fs::read_link(&link).ok()?;
        let target = target.to_string_lossy();
        if let Some(inode) = between(&target, "socket:[", "]") {
            return Some(self.socket(inode).unwrap_or_else(|| "socket".to_owned()));
        }
        if target.starts_with("pipe:[") {
            return Some("pipe".to_owned());
        }
        if let Some(kind) = target.strip_prefix("anon_inode:") {
            return Some(kind.trim_matches(['[', ']']).to_owned());
        }
        // Asked through the link, so of the open file itself.
        let kind = fs::metadata(&link).map(|metadata| metadata.file_type()).ok();
        Some(match kind {
            Some(kind) if kind.is_fifo() => format!("fifo {target}"),
            Some(kind) if kind.is_dir() => format!("directory {target}"),
            Some(kind) if kind.is_char_device() || kind.is_block_device() => format!("device {target}"),
            _ => format!("file {target}"),
        })
    }

    /// The inode that the descriptor stands for, without asking its file system, which may not answer.
    #[must_use]
    pub fn inode_of(&self, fd: u64) -> Option<u64> {
        let info = fs::read_to_string(self.path("fdinfo").join(fd.to_string())).ok()?;
        info.lines().find_map(|line| line.strip_prefix("ino:")?.trim().parse().ok())
    }

    /// A socket of the process's own network namespace, by its inode.
    fn socket(&self, inode: &str) -> Option<String> {
        for protocol in ["tcp", "tcp6", "udp", "udp6"] {
            let row = self.socket_row(protocol, |columns| columns.get(9) == Some(&inode));
            if let Some(columns) = row {
                let (local, remote) = (address(columns.get(1)?)?, address(columns.get(2)?)?);
                let name = protocol.trim_end_matches('6');
                let state = tcp_state(columns.get(3)?).filter(|_| name == "tcp");
                let ends = if remote.port() == 0 { local.to_string() } else { format!("{local}->{remote}") };
                return Some(match state {
                    Some(state) => format!("{name} {ends} ({state})"),
                    None => format!("{name} {ends}"),
                });
            }
        }
        let columns = self.socket_row("unix", |columns| columns.get(6) == Some(&inode))?;
        Some(columns.get(7).map_or_else(|| "unix".to_owned(), |path| format!("unix {path}")))
    }

    /// The first row of a table in `/proc/PID/net` that fits.
    fn socket_row(&self, table: &str, fits: impl Fn(&[&str]) -> bool) -> Option<Vec<String>> {
        let file = File::open(self.path("net").join(table)).ok()?;
        let rows = BufReader::new(file.take(MOST_SOCKET_TABLE)).lines().skip(1);
        for row in rows {
            let row = row.ok()?;
            let columns: Vec<&str> = row.split_whitespace().collect();
            if fits(&columns) {
                return Some(columns.into_iter().map(str::to_owned).collect());
            }
        }
        None
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
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

    #[test]
    fn ones_own_descriptors_have_names() {
        use std::os::fd::AsRawFd as _;
        let process = Process::find(&std::process::id().to_string()).unwrap();
        let object = |file: &dyn std::os::fd::AsFd| {
            process.object(u64::try_from(file.as_fd().as_raw_fd()).unwrap()).unwrap()
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(object(&listener), format!("tcp {at} (listening)"));
        let connection = std::net::TcpStream::connect(at).unwrap();
        assert_eq!(object(&connection), format!("tcp {}->{at}", connection.local_addr().unwrap()));
        let udp = std::net::UdpSocket::bind("[::1]:0").unwrap();
        assert_eq!(object(&udp), format!("udp {}", udp.local_addr().unwrap()));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(object(file.as_file()), format!("file {}", file.path().display()));
        let (pipe, _other) = std::io::pipe().unwrap();
        assert_eq!(object(&pipe), "pipe");
        assert_eq!(process.object(1 << 40), None);
    }
}
