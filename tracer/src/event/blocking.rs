//! What a running program's system calls and network waits cost: the sums as the kernel side keeps them, and the slow
//! ones one by one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
pub use tracer_ebpf::wire::blocking::{BUCKETS, Caller, Kind, bucket_end};
use tracer_ebpf::wire::{Probe, blocking as wire};

use super::histogram;
use super::{DecodeError, prefix};
use crate::units::{Nanos, RuntimeAddr};

/// What is summed up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// How the time was spent.
    pub kind: Kind,
    /// Who made the system call.
    pub caller: Caller,
    /// Its number; for a wait, that of the call that would have blocked.
    pub syscall: u64,
    /// The type of its descriptor's object, as the `S_IFMT` bits of a mode; none when it has none or took no stack.
    pub file_type: Option<u32>,
    /// The address behind the go statement that made the goroutine.
    pub gopc: Option<RuntimeAddr>,
    /// Where it was made.
    pub stack: StackTaken,
}

/// A stack, as far as it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StackTaken {
    /// It was too short to take the stack.
    TooShort,
    /// The stack of that number.
    Taken(u32),
    /// The kernel could not: another stack had its place (EEXIST), or the memory was not there (EFAULT).
    Lost(i64),
}

/// The sums of one [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTotal {
    /// Of what.
    pub key: Key,
    /// How many returned, or waits that ended.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many more returned that had begun before gotrace came; their time is not known.
    pub joined: u64,
    /// All their time.
    pub total: Nanos,
    /// The longest's.
    pub longest: Nanos,
    /// How many took how long; bucket `i` ends at [`bucket_end`]`(i)` nanoseconds.
    #[serde(with = "histogram")]
    pub histogram: Vec<u32>,
}

/// A slow system call that returned, or a slow wait that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// How long.
    pub duration: Nanos,
    /// What it was summed up under.
    pub key: Key,
    /// The goroutine.
    pub goid: Option<u64>,
    /// What the system call returned; a negative error number when it failed.
    pub result: i64,
    /// The system call's first three arguments; of a wait, those of the call that tried again, but for the
    /// descriptor.
    pub arguments: [u64; 3],
    /// What the descriptor stood for at that moment.
    pub object: Option<Object>,
}

/// What a descriptor stood for, as the kernel had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// The inode's device, major and minor.
    pub device: (u32, u32),
    /// The inode's number.
    pub inode: u64,
    /// Its type and permissions, as in stat(2).
    pub mode: u32,
    /// When it is an internet socket.
    pub socket: Option<Socket>,
    /// The last part of a file's path, cut at 39 bytes; empty when it has none.
    pub name: Name,
}

/// A file's name, as the kernel had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name([u8; wire::NAME_LEN]);

impl Name {
    /// No name.
    pub const NONE: Self = Self([0; wire::NAME_LEN]);

    /// Its characters; those that are none are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..length]).into_owned()
    }
}

/// An internet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// `SOCK_STREAM` (1: TCP), `SOCK_DGRAM` (2: UDP), or another of socket(2).
    pub socket_type: u16,
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's, when it has one.
    pub peer: Option<SocketAddr>,
}

/// A thread that is in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InSyscall {
    /// Its id in the initial PID namespace.
    pub tid: u32,
    /// Since when, on the boot clock.
    pub since: Nanos,
    /// The system call's number.
    pub syscall: u64,
}

/// A goroutine that the network poller has parked, or that gave up without another system call so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its id.
    pub goid: u64,
    /// Since when, on the boot clock.
    pub since: Nanos,
    /// The system call that would have blocked.
    pub syscall: u64,
    /// Its descriptor.
    pub fd: u32,
}

impl StackTaken {
    /// Of the number that the kernel side keeps.
    pub(super) fn of(number: i64) -> Self {
        match u32::try_from(number) {
            Ok(number) => Self::Taken(number),
            Err(_) if number == wire::NO_STACK => Self::TooShort,
            Err(_) => Self::Lost(number),
        }
    }
}

impl TryFrom<&wire::Key> for Key {
    type Error = DecodeError;

    fn try_from(key: &wire::Key) -> Result<Self, DecodeError> {
        let impossible =
            |field, value: u32| DecodeError::Impossible { probe: Probe::Summed, field, value: value.into() };
        Ok(Self {
            kind: Kind::from_number(key.kind).ok_or_else(|| impossible("kind", key.kind))?,
            caller: Caller::from_number(key.caller).ok_or_else(|| impossible("caller", key.caller))?,
            syscall: key.syscall.into(),
            file_type: (key.object != 0).then_some(key.object),
            gopc: (key.gopc != 0).then_some(RuntimeAddr(key.gopc)),
            stack: StackTaken::of(key.stack),
        })
    }
}

impl CallTotal {
    /// Of what the kernel side keeps.
    ///
    /// # Errors
    /// When the key holds what it cannot.
    pub fn new(key: &wire::Key, stats: &wire::Stats) -> Result<Self, DecodeError> {
        Ok(Self {
            key: Key::try_from(key)?,
            count: stats.count,
            errors: stats.errors,
            joined: stats.joined,
            total: Nanos(stats.total),
            longest: Nanos(stats.longest),
            histogram: stats.histogram.to_vec(),
        })
    }
}

/// Of its record.
pub(super) fn slow(bytes: &[u8]) -> Result<Slow, DecodeError> {
    let slow: wire::Slow = prefix(bytes)?;
    Ok(Slow {
        duration: Nanos(slow.duration),
        key: Key::try_from(&slow.key)?,
        goid: (slow.goid != 0).then_some(slow.goid),
        result: slow.result.cast_signed(),
        arguments: slow.arguments,
        object: (slow.object.mode != 0).then(|| Object::from(&slow.object)),
    })
}

impl From<&wire::Object> for Object {
    fn from(object: &wire::Object) -> Self {
        // The kernel keeps twenty bits for the minor number (include/linux/kdev_t.h).
        let device = (object.device >> 20, object.device & 0xf_ffff);
        let (inode, mode, name) = (object.inode, object.mode, Name(object.name));
        Self { device, inode, mode, socket: socket(object), name }
    }
}

fn socket(object: &wire::Object) -> Option<Socket> {
    let ip = |bytes: [u8; 16]| match i32::from(object.family) {
        libc::AF_INET => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
        libc::AF_INET6 => Some(Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    };
    let peer = SocketAddr::new(ip(object.peer)?, u16::from_be(object.peer_port));
    Some(Socket {
        socket_type: object.socket_type,
        local: SocketAddr::new(ip(object.local)?, object.local_port),
        peer: (peer.port() != 0).then_some(peer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_key() -> wire::Key {
        wire::Key { stack: 3, gopc: 0x40_0000, syscall: 0, kind: 1, caller: 2, object: 0o140_000 }
    }

    #[test]
    fn a_key_is_decoded_and_an_impossible_one_refused() {
        let key = Key::try_from(&a_key()).unwrap();
        assert_eq!((key.kind, key.caller), (Kind::NetworkWait, Caller::Goroutine));
        assert_eq!((key.stack, key.file_type), (StackTaken::Taken(3), Some(0o140_000)));
        let stack = |stack| Key::try_from(&wire::Key { stack, ..a_key() }).unwrap().stack;
        assert_eq!((stack(-1), stack(-17)), (StackTaken::TooShort, StackTaken::Lost(-17)));
        let error = Key::try_from(&wire::Key { kind: 9, ..a_key() }).unwrap_err();
        assert_eq!(error.to_string(), "a record of summed with the impossible kind 9");
    }

    #[test]
    fn a_socket_is_told_with_both_ends() {
        let mut object = wire::Object { mode: 0o140_777, family: 2, socket_type: 1, ..wire::Object::UNKNOWN };
        (object.local_port, object.peer_port) = (4242, 443_u16.to_be());
        object.local[..4].copy_from_slice(&[127, 0, 0, 1]);
        object.peer[..4].copy_from_slice(&[10, 0, 0, 7]);
        let socket = Object::from(&object).socket.unwrap();
        assert_eq!(socket.local.to_string(), "127.0.0.1:4242");
        assert_eq!(socket.peer.unwrap().to_string(), "10.0.0.7:443");
    }
}
