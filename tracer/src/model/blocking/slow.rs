//! The slow calls and waits one by one: the slowest of them, and how long each object took.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use ahash::RandomState;

use super::super::time_sums::TimeSums;
use super::names::{Named, ObjectGroup, ObjectNames, kind};
use crate::event::blocking::{Key, Object, Slow};
use crate::units::Nanos;

/// So many single calls are kept, the slowest.
const MOST_CALLS: usize = 1000;

/// So many objects are told apart for each sum, so many of all sums together, and so many sums.
const MOST_OBJECTS: usize = 256;
const MOST_OBJECTS_OF_ALL: usize = 20_000;
const MOST_KEYS: usize = 10_000;

/// So many names are kept, as a busy server has connections; those of files for so long: a new file may get the inode and
/// the descriptor of a deleted one.
const MOST_NAMES: usize = 1 << 16;
const NAME_LASTS: Nanos = Nanos(100_000_000);

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

/// The slow calls so far. Bounded, whatever comes.
#[derive(Clone, Debug, Default)]
pub struct SlowCalls {
    slowest: BinaryHeap<Reverse<Ranked>>,
    /// How many there were.
    pub count: u64,
    sums: HashMap<Key, OfSum, RandomState>,
    objects_of_all: usize,
    /// Names that were asked for.
    names: HashMap<(Object, u64), Asked, RandomState>,
    /// Slow calls whose object or sum there was no room for.
    pub untold: u64,
    /// Whether addresses and paths are left out.
    redact: bool,
}

/// The slow calls of one sum.
#[derive(Clone, Debug)]
struct OfSum {
    worst: SlowCall,
    objects: HashMap<ObjectGroup, TimeSums, RandomState>,
}

/// What an object is called that the process was asked about.
#[derive(Clone, Debug)]
struct Asked {
    /// When the call that asked ended.
    at: Nanos,
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ranked(SlowCall);

impl Ranked {
    fn rank(&self) -> (Nanos, Nanos, u32) {
        (self.0.call.duration, self.0.end, self.0.tid)
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
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
    /// Returns what its object is called.
    pub fn note(&mut self, end: Nanos, tid: u32, slow: &Slow, names: &dyn ObjectNames) -> Option<Named> {
        let named = slow.object.map(|object| self.named(&object, slow.arguments[0], end, names));
        self.add(end, tid, slow, named.as_ref());
        named
    }

    /// Takes note of one whose object's name is known.
    pub fn add(&mut self, end: Nanos, tid: u32, slow: &Slow, named: Option<&Named>) {
        self.count += 1;
        let fd = descriptor(slow);
        let call = || SlowCall { end, tid, call: slow.clone(), fd, object: named.map(Named::text) };
        // Most are not among the slowest of all, nor of their sum: nothing is made of them.
        let rank = (slow.duration, end, tid);
        let least = self.slowest.peek().map(|Reverse(least)| least.rank());
        if self.slowest.len() < MOST_CALLS {
            self.slowest.push(Reverse(Ranked(call())));
        } else if least < Some(rank) {
            self.slowest.pop();
            self.slowest.push(Reverse(Ranked(call())));
        }
        let room = self.sums.len() < MOST_KEYS;
        let of_sum = match self.sums.entry(slow.key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) if room => new.insert(OfSum { worst: call(), objects: HashMap::default() }),
            Entry::Vacant(_) => {
                self.untold += 1;
                return;
            }
        };
        if of_sum.worst.call.duration < slow.duration {
            of_sum.worst = call();
        }
        let Some(group) = named.map(ObjectGroup::of) else { return };
        let sums = TimeSums::of(slow.duration);
        if let Some(known) = of_sum.objects.get_mut(&group) {
            known.add(&sums);
        } else if of_sum.objects.len() >= MOST_OBJECTS || self.objects_of_all >= MOST_OBJECTS_OF_ALL {
            self.untold += 1;
        } else {
            self.objects_of_all += 1;
            of_sum.objects.insert(group, sums);
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
    pub fn objects(&self, key: &Key) -> BTreeMap<String, TimeSums> {
        let mut objects = BTreeMap::<String, TimeSums>::new();
        for (group, sums) in self.sums.get(key).into_iter().flat_map(|of_sum| &of_sum.objects) {
            objects.entry(group.text()).or_default().add(sums);
        }
        objects
    }

    /// The slowest of one sum.
    #[must_use]
    pub fn worst(&self, key: &Key) -> Option<&SlowCall> {
        self.sums.get(key).map(|of_sum| &of_sum.worst)
    }

    fn named(&mut self, object: &Object, fd: u64, at: Nanos, names: &dyn ObjectNames) -> Named {
        if self.redact {
            return Named::Redacted(kind(object));
        }
        if let Some(socket) = object.socket {
            return Named::Socket(socket);
        }
        if self.names.len() >= MOST_NAMES {
            self.names.clear();
        }
        match self.names.entry((*object, fd)) {
            Entry::Occupied(known) if at.since(known.get().at) <= NAME_LASTS => {
                Named::Asked(Arc::clone(&known.get().name))
            }
            entry => {
                let name =
                    names.name(object, Some(fd)).unwrap_or_else(|| as_the_kernel_has_it(object)).into();
                Named::Asked(Arc::clone(&entry.insert_entry(Asked { at, name }).get().name))
            }
        }
    }
}

/// Whatever has an object has a descriptor in its first argument.
fn descriptor(slow: &Slow) -> Option<u64> {
    slow.object.is_some().then_some(slow.arguments[0])
}

/// What an object is called whose name cannot be told.
fn as_the_kernel_has_it(object: &Object) -> String {
    let (major, minor) = object.device;
    let (kind, name) = (kind(object), object.name.text());
    if name.is_empty() {
        format!("{kind} inode {} on {major}:{minor}", object.inode)
    } else {
        format!("{kind} …/{name} (inode {} on {major}:{minor})", object.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::connection;
    use super::*;
    use crate::event::blocking::{Caller, Kind, Name, StackTaken};

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
        Object { device: (8, 1), inode, mode: libc::S_IFREG | 0o644, socket: None, name: Name::NONE }
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
        let sums = slow.objects(&key)["file /etc/hosts"];
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
    fn a_name_is_asked_for_again_after_a_while() {
        struct Counting(std::cell::Cell<u64>);
        impl ObjectNames for Counting {
            fn name(&self, _: &Object, _: Option<u64>) -> Option<String> {
                self.0.set(self.0.get() + 1);
                Some(format!("file /{}", self.0.get()))
            }
        }
        let names = Counting(std::cell::Cell::new(0));
        let mut slow = SlowCalls::new(false);
        let mut name = |at| slow.named(&file(7), 3, Nanos(at), &names).text();
        assert_eq!([name(1), name(NAME_LASTS.0), name(NAME_LASTS.0 + 2)], ["file /1", "file /1", "file /2"]);
    }
}
