//! What descriptors stand for, from the system calls that made them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer_ebpf::wire::syscall::number;

use super::init::Init;
use crate::event::{Call, Event, EventKind, Wait};
use crate::units::Nanos;

/// A file opened or an address connected before `main.main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCall {
    /// The index of the init that it was made in, if it was in one; by whichever thread.
    pub init: Option<usize>,
    /// When it returned.
    pub time: Nanos,
    /// The system call.
    pub syscall: &'static str,
    /// The path or address.
    pub object: String,
    /// What it returned; a negative error number when it failed.
    pub result: i64,
}

/// Every such call, in order.
pub(super) fn named_calls(events: &[Event], inits: &[Init]) -> Vec<NamedCall> {
    let named = |event: &Event| {
        let EventKind::Call(call) = &event.kind else { return None };
        let bytes = call.object.as_ref()?;
        let (syscall, object) = match call.syscall {
            number::OPENAT => ("openat", String::from_utf8_lossy(bytes).into_owned()),
            number::OPEN => ("open", String::from_utf8_lossy(bytes).into_owned()),
            number::CONNECT => ("connect", socket_address(bytes)?),
            _ => return None,
        };
        let init = inits.iter().position(|init| init.contains(event.time));
        Some(NamedCall { init, time: event.time, syscall, object, result: call.result })
    };
    events.iter().take_while(|event| !event.is_main()).filter_map(named).collect()
}

/// Descriptors of the program's start, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    by_descriptor: HashMap<u64, Object>,
    /// The last call whose object is known, by thread.
    last: HashMap<u32, (u64, Object)>,
    /// The last address that any thread connected to.
    connected: Option<Object>,
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// A file, by its path as the program named it.
    Path(String),
    /// A socket, by the address that it was connected to.
    Address(String),
}

impl Object {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Path(name) | Self::Address(name) => name,
        }
    }
}

impl Objects {
    /// Takes note of a call.
    pub(super) fn note(&mut self, tid: u32, call: &Call) {
        let Some(bytes) = &call.object else { return };
        let (object, descriptor) = match call.syscall {
            number::OPENAT | number::OPEN => {
                let path = Object::Path(String::from_utf8_lossy(bytes).into_owned());
                (path, u64::try_from(call.result).ok())
            }
            number::CONNECT => {
                let Some(address) = socket_address(bytes) else { return };
                self.connected = Some(Object::Address(address.clone()));
                (Object::Address(address), Some(call.arguments[0]))
            }
            _ => return,
        };
        if let Some(descriptor) = descriptor {
            self.by_descriptor.insert(descriptor, object.clone());
        }
        self.last.insert(tid, (call.syscall, object));
    }

    /// What the thread waited for; a wait's record comes behind that of its own call.
    pub(super) fn of_wait(&self, tid: u32, wait: &Wait) -> Option<&Object> {
        if let Some((_, descriptor)) = wait.polled {
            return self.by_descriptor.get(&descriptor);
        }
        match wait.syscall? {
            number::OPENAT | number::OPEN | number::CONNECT => {
                let (syscall, object) = self.last.get(&tid)?;
                (Some(*syscall) == wait.syscall).then_some(object)
            }
            number::READ
            | number::WRITE
            | number::PREAD64
            | number::PWRITE64
            | number::READV
            | number::WRITEV
            | number::SENDTO
            | number::RECVFROM
            | number::SENDMSG
            | number::RECVMSG
            | number::FSYNC
            | number::FDATASYNC
            | number::FLOCK
            | number::GETDENTS64 => self.by_descriptor.get(&wait.arguments[0]),
            _ => None,
        }
    }

    /// The last address that any thread connected to, for a wait that is for another goroutine's connection.
    pub(super) fn connected(&self) -> Option<&Object> {
        self.connected.as_ref()
    }
}

/// A socket address as the kernel keeps it (include/uapi/linux/in.h, in6.h, un.h), for people.
pub(super) fn socket_address(bytes: &[u8]) -> Option<String> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port()?).to_string())
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), port()?).to_string())
        }
        libc::AF_UNIX => {
            let path = &bytes[2..];
            let (mark, path) = match path.split_first() {
                Some((0, abstract_name)) => ("@", abstract_name),
                _ => ("", path),
            };
            let length = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            Some(format!("unix:{mark}{}", String::from_utf8_lossy(&path[..length])))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_family_are_read() {
        assert_eq!(socket_address(&[2, 0, 0, 80, 127, 0, 0, 1]).as_deref(), Some("127.0.0.1:80"));
        let mut six = [0; 28];
        six[..4].copy_from_slice(&[10, 0, 1, 187]);
        six[23] = 1;
        assert_eq!(socket_address(&six).as_deref(), Some("[::1]:443"));
        assert_eq!(socket_address(b"\x01\0/run/x\0junk").as_deref(), Some("unix:/run/x"));
        assert_eq!(socket_address(b"\x01\0\0name").as_deref(), Some("unix:@name"));
        assert_eq!(socket_address(&[2, 0, 0]), None);
        assert_eq!(socket_address(&[99, 0, 0, 0]), None);
    }

    #[test]
    fn a_descriptor_stands_for_what_was_opened_last() {
        let mut objects = Objects::default();
        for path in ["/a", "/b"] {
            let object = Some(path.as_bytes().to_vec());
            objects.note(1, &Call { syscall: number::OPENAT, result: 3, arguments: [0; 6], object });
        }
        assert_eq!(objects.by_descriptor.get(&3), Some(&Object::Path("/b".to_owned())));
    }
}
