//! The other sides of a process's Unix sockets, which no file in /proc tells: a question to the kernel by netlink, in
//! the process's own network namespace (include/uapi/linux/unix_diag.h).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::thread;

use crate::target::process::Process;

/// `NETLINK_SOCK_DIAG`, `SOCK_DIAG_BY_FAMILY`, `UDIAG_SHOW_NAME | UDIAG_SHOW_PEER`.
const SOCK_DIAG: libc::c_int = 4;
const BY_FAMILY: u16 = 20;
const SHOW: u32 = 1 | 4;
/// `UNIX_DIAG_NAME` and `UNIX_DIAG_PEER`.
const NAME: u16 = 0;
const PEER: u16 = 2;

/// The sizes of `struct nlmsghdr`, `unix_diag_msg` and `nlattr`.
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;

/// The kernel answers in pieces of at most 32 KiB.
const PIECE: usize = 64 << 10;

/// More sockets than a node has.
const MOST: usize = 1 << 20;

/// A socket: its name, when it has one, and its peer's inode, when it is connected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::target) struct Side {
    name: Option<String>,
    peer: Option<u64>,
}

impl Side {
    /// Whether the kernel told anything of it.
    #[cfg(any(test, fuzzing))]
    pub(in crate::target) fn is_known(&self) -> bool {
        self.name.is_some() || self.peer.is_some()
    }
}

/// The names of the other sides, by the inodes of these sides; nothing where the kernel does not tell.
pub(super) fn peers(process: &Process, ours: &[u64]) -> HashMap<u64, String> {
    let sides = sides(process).unwrap_or_default();
    let name = |inode: &u64| {
        let peer = sides.get(inode)?.peer?;
        Some((*inode, sides.get(&peer)?.name.clone()?))
    };
    ours.iter().filter_map(name).collect()
}

fn sides(process: &Process) -> io::Result<HashMap<u64, Side>> {
    let its = File::open(process.path("ns/net"))?;
    let entered = || -> io::Result<_> {
        // SAFETY: the descriptor is open; only the current thread goes there, and it ends soon.
        if unsafe { libc::setns(its.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        ask()
    };
    if process.shares_network() {
        return ask();
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, entered)?;
        thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}

fn ask() -> io::Result<HashMap<u64, Side>> {
    // SAFETY: the call has no preconditions.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, SOCK_DIAG) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made just now, and is nobody else's.
    let mut socket = File::from(unsafe { OwnedFd::from_raw_fd(socket) });
    socket.write_all(&question())?;
    let mut sides = HashMap::new();
    let mut piece = vec![0; PIECE];
    loop {
        let len = socket.read(&mut piece)?;
        if len == 0 || !parse(&piece[..len], &mut sides) || sides.len() >= MOST {
            return Ok(sides);
        }
    }
}

/// `struct nlmsghdr` and `struct unix_diag_req`, for every state.
fn question() -> Vec<u8> {
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_DUMP).unwrap_or_default();
    let mut text = Vec::new();
    text.extend(40_u32.to_ne_bytes());
    text.extend(BY_FAMILY.to_ne_bytes());
    text.extend(flags.to_ne_bytes());
    text.extend([0; 8]);
    text.extend([u8::try_from(libc::AF_UNIX).unwrap_or_default(), 0, 0, 0]);
    for word in [u32::MAX, 0, SHOW, 0, 0] {
        text.extend(word.to_ne_bytes());
    }
    text
}

/// Takes a piece of the answer; false when it was the last.
pub(in crate::target) fn parse(mut piece: &[u8], sides: &mut HashMap<u64, Side>) -> bool {
    while let (Some(len), Some(kind)) = (u32_at(piece, 0), u16_at(piece, 4)) {
        let len = len as usize;
        // The end, or an error.
        if kind != BY_FAMILY || len < HEADER + MESSAGE || len > piece.len() {
            return false;
        }
        let inode = u64::from(u32_at(piece, HEADER + 4).unwrap_or_default());
        sides.insert(inode, side(&piece[HEADER + MESSAGE..len]));
        piece = piece.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

fn side(mut attributes: &[u8]) -> Side {
    let mut side = Side::default();
    while let (Some(len), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let len = usize::from(len);
        let Some(value) = attributes.get(ATTRIBUTE..len) else { break };
        match kind {
            NAME => side.name = name(value),
            PEER => side.peer = u32_at(value, 0).map(u64::from),
            _ => {}
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    side
}

/// As `/proc/net/unix` writes it: what begins with a zero is in no folder.
fn name(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [] => return None,
        [0, rest @ ..] => format!("@{}", String::from_utf8_lossy(rest)),
        path => String::from_utf8_lossy(path).trim_end_matches('\0').to_owned(),
    };
    Some(text)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_answer_is_read(piece in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256)) {
            let mut framed = (piece.len() as u32 + 16).to_ne_bytes().to_vec();
            framed.extend(BY_FAMILY.to_ne_bytes());
            framed.extend([0; 10]);
            framed.extend(&piece);
            parse(&framed, &mut HashMap::new());
            parse(&piece, &mut HashMap::new());
            side(&piece);
        }
    }

    #[test]
    fn names_are_written_as_the_kernel_writes_them() {
        assert_eq!(name(b"/run/a.sock\0"), Some("/run/a.sock".to_owned()));
        assert_eq!(name(b"\0bus"), Some("@bus".to_owned()));
        assert_eq!(name(b""), None);
    }
}
