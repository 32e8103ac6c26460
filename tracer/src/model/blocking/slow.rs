//! The slow calls and waits one by one: the slowest of them, and how long each object took.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use crate::event::blocking::{Key, Object, Slow, Socket};
use crate::units::Nanos;

/// So many single calls are kept, the slowest.
const MOST_CALLS: usize = 1000;

/// So many objects are told apart for each sum, and so many sums with objects.
const MOST_OBJECTS: usize = 256;
const MOST_KEYS: usize = 10_000;

/// Linux gives these to sockets that ask for no port (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// Names what descriptors stand for.
pub trait ObjectNames {
    /// In words: `file /etc/hosts`, `fifo /run/f`, `pipe`, `unix /run/s`. `fd` is the descriptor that it had when it
    /// was used, which may be another's by now: what it is now must be the same inode to be its name. None when that
    /// cannot be told. Must not wait.
    fn name(&self, object: &Object, fd: Option<u64>) -> Option<String>;
}

/// A slow call or wait, with its object's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCall {
    /// When it ended.
    pub end: Nanos,
    /// On which thread.
    pub tid: u32,
    /// What the kernel told.
    pub call: Slow,
    /// The descriptor, where it is known that the first argument is one.
    pub fd: Option<u64>,
    /// The object in words.
    pub object: Option<String>,
}

/// What one object took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectSums {
    /// How many slow calls and waits.
    pub count: u64,
    /// All their time.
    pub total: Nanos,
    /// The longest's.
    pub longest: Nanos,
}

impl ObjectSums {
    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.total.0 = self.total.0.saturating_add(other.total.0);
        self.longest = self.longest.max(other.longest);
    }
}

/// The slow calls so far. Bounded, whatever comes.
#[derive(Debug, Default)]
pub struct SlowCalls {
    slowest: BinaryHeap<Reverse<Ranked>>,
    /// How many there were.
    pub count: u64,
    objects: HashMap<Key, BTreeMap<String, ObjectSums>>,
    worst: HashMap<Key, SlowCall>,
    names: HashMap<(Object, Option<u64>), Option<String>>,
    /// Slow calls whose object or sum there was no room for.
    pub untold: u64,
    /// Whether addresses and paths are left out.
    redact: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Ranked(SlowCall);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |ranked: &Self| (ranked.0.call.duration, ranked.0.end, ranked.0.tid);
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl SlowCalls {
    /// None yet. `redact` leaves addresses and paths out: an object is only what kind of thing it is.
    #[must_use]
    pub fn new(redact: bool) -> Self {
        Self { redact, ..Self::default() }
    }

    /// Takes note of one that ended at `end` on the thread `tid`. Best at once, while its descriptor is still the same.
    pub fn note(&mut self, end: Nanos, tid: u32, slow: &Slow, names: &dyn ObjectNames) {
        self.count += 1;
        // Whatever has an object has a descriptor in its first argument.
        let fd = slow.object.is_some().then_some(slow.arguments[0]);
        let object = slow.object.map(|object| self.name(&object, fd, names));
        let call = SlowCall { end, tid, call: slow.clone(), fd, object };
        self.sum(&call);
        self.slowest.push(Reverse(Ranked(call)));
        if self.slowest.len() > MOST_CALLS {
            self.slowest.pop();
        }
    }

    /// The slowest, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<&SlowCall> {
        let mut calls: Vec<&Ranked> = self.slowest.iter().map(|Reverse(ranked)| ranked).collect();
        calls.sort_by(|a, b| b.cmp(a));
        calls.into_iter().map(|Ranked(call)| call).collect()
    }

    /// What the objects of one sum took, by name.
    #[must_use]
    pub fn objects(&self, key: &Key) -> Option<&BTreeMap<String, ObjectSums>> {
        self.objects.get(key)
    }

    /// The slowest of one sum.
    #[must_use]
    pub fn worst(&self, key: &Key) -> Option<&SlowCall> {
        self.worst.get(key)
    }

    fn sum(&mut self, call: &SlowCall) {
        let key = call.call.key;
        if self.worst.len() >= MOST_KEYS && !self.worst.contains_key(&key) {
            self.untold += 1;
            return;
        }
        let worst = self.worst.entry(key).or_insert_with(|| call.clone());
        if worst.call.duration < call.call.duration {
            worst.clone_from(call);
        }
        let Some(name) = call.call.object.map(|object| group(&object, call.object.as_deref(), self.redact))
        else {
            return;
        };
        let objects = self.objects.entry(key).or_default();
        if objects.len() >= MOST_OBJECTS && !objects.contains_key(&name) {
            self.untold += 1;
            return;
        }
        let duration = call.call.duration;
        objects.entry(name).or_default().add(&ObjectSums { count: 1, total: duration, longest: duration });
    }

    fn name(&mut self, object: &Object, fd: Option<u64>, names: &dyn ObjectNames) -> String {
        if self.redact {
            return kind(object).to_owned();
        }
        if let Some(socket) = &object.socket {
            return socket_name(socket);
        }
        if self.names.len() >= MOST_KEYS {
            self.names.clear();
        }
        let known = self.names.entry((*object, fd)).or_insert_with(|| names.name(object, fd));
        known.clone().unwrap_or_else(|| {
            let (major, minor) = object.device;
            format!("{} inode {} on {major}:{minor}", kind(object), object.inode)
        })
    }
}

/// `tcp 10.0.0.1:4242->10.0.0.7:443`
fn socket_name(socket: &Socket) -> String {
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
fn group(object: &Object, name: Option<&str>, redact: bool) -> String {
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
mod tests {
    use super::*;
    use crate::event::blocking::{Caller, Kind, StackTaken};

    struct Nameless;

    impl ObjectNames for Nameless {
        fn name(&self, object: &Object, _: Option<u64>) -> Option<String> {
            (object.inode == 7).then(|| "file /etc/hosts".to_owned())
        }
    }

    fn note(slow: &mut SlowCalls, time: u64, duration: u64, object: Object) {
        let key = Key {
            kind: Kind::Call,
            caller: Caller::Goroutine,
            syscall: 0,
            file_type: None,
            gopc: None,
            stack: StackTaken::Taken(1),
        };
        let (goid, object) = (Some(9), Some(object));
        let call = Slow { duration: Nanos(duration), key, goid, result: 0, arguments: [3, 0, 0], object };
        slow.note(Nanos(time), 1, &call, &Nameless);
    }

    fn file(inode: u64) -> Object {
        Object { device: (8, 1), inode, mode: libc::S_IFREG | 0o644, socket: None }
    }

    fn connection(local: &str, peer: &str) -> Object {
        let socket =
            Socket { socket_type: 1, local: local.parse().unwrap(), peer: Some(peer.parse().unwrap()) };
        Object { device: (0, 8), inode: 1, mode: libc::S_IFSOCK | 0o777, socket: Some(socket) }
    }

    #[test]
    fn the_slowest_are_kept_and_all_are_summed_up() {
        let mut slow = SlowCalls::new(false);
        for time in 0..5_000 {
            note(&mut slow, time, time + 1, file(7));
        }
        let slowest = slow.slowest();
        assert_eq!((slowest.len(), slowest[0].call.duration, slow.count), (MOST_CALLS, Nanos(5_000), 5_000));
        let key = slowest[0].call.key;
        let sums = slow.objects(&key).unwrap()["file /etc/hosts"];
        assert_eq!((sums.count, sums.total, sums.longest), (5_000, Nanos(12_502_500), Nanos(5_000)));
        assert_eq!(slow.worst(&key).unwrap().call.duration, Nanos(5_000));
    }

    #[test]
    fn objects_have_names_and_are_bounded() {
        let mut slow = SlowCalls::new(false);
        note(&mut slow, 1, 5, file(8));
        assert_eq!(slow.slowest()[0].object.as_deref(), Some("file inode 8 on 8:1"));
        for inode in 100..100 + MOST_OBJECTS as u64 {
            note(&mut slow, 2, 5, file(inode));
        }
        assert_eq!(slow.untold, 1);
        let mut redacted = SlowCalls::new(true);
        note(&mut redacted, 1, 5, file(7));
        note(&mut redacted, 2, 4, connection("10.0.0.1:40000", "10.0.0.7:443"));
        let told: Vec<_> = redacted.slowest().iter().map(|call| call.object.clone().unwrap()).collect();
        assert_eq!(told, ["file", "tcp"]);
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
