//! Each of the kernel's sums with what it means, and how sums are put together.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;

use super::super::time_sums::TimeSums;
use super::cause::BlockingCause;
use super::class::Class;
use super::site::Site;
use super::slow::{SlowCall, SlowCalls};
use super::stacks::Resolved;
use super::sums::{Sums, Tally};
use crate::event::blocking::{Key, Kind};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// One of the kernel's sums, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was summed up.
    pub key: Key,
    /// How often and how long.
    pub sums: Sums,
    /// Where it was called; of a wait without a retry, what the goroutine did next.
    pub stack: Arc<[Arc<Frame>]>,
    /// The go statement that made the goroutine.
    pub origin: Option<Frame>,
    /// Whose time it is.
    pub class: Class,
    /// What it was spent on.
    pub cause: BlockingCause,
    /// The line of code that it is put down to.
    pub site: Site,
    /// The slowest of it, when that was told by itself.
    pub worst: Option<Box<SlowCall>>,
    /// What the slow ones were on, by name.
    pub objects: BTreeMap<String, TimeSums>,
}

impl Entry {
    pub(super) fn of(tally: Tally, resolved: Resolved, module: Option<&str>, slow: &SlowCalls) -> Self {
        let Tally { key, sums } = tally;
        Self {
            class: Class::of(&key, &resolved),
            cause: BlockingCause::of(&key, &resolved),
            site: Site::of(&resolved.frames, resolved.origin.as_ref(), module),
            worst: slow.worst(&key).cloned().map(Box::new),
            objects: slow.objects(&key),
            key,
            sums,
            stack: resolved.frames,
            origin: resolved.origin,
        }
    }

    /// Whether it kept a goroutine from going on, for a time that is known: a wait that ended without a retry is only
    /// known to have been no longer.
    #[must_use]
    pub fn is_suffered(&self) -> bool {
        self.class == Class::Suffered && self.key.kind != Kind::NoRetry
    }
}

/// Several sums that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<K> {
    /// What they have in common.
    pub key: K,
    /// All of them together.
    pub sums: Sums,
    /// The one that took most of the time: its stack is the example.
    pub largest: Entry,
    /// What the slow ones were on, the costliest first.
    pub objects: Vec<(String, TimeSums)>,
}

/// Puts together what has the same key, the costliest first. What has none is left out.
#[expect(single_use_lifetimes, reason = "impl Trait needs its name")]
pub(super) fn grouped<'a, K: Clone + Eq + Hash + Ord>(
    entries: impl IntoIterator<Item = &'a Entry>,
    key: impl Fn(&Entry) -> Option<K>,
) -> Vec<Group<K>> {
    let mut members: HashMap<K, Vec<&Entry>, RandomState> = HashMap::default();
    for entry in entries {
        if let Some(key) = key(entry) {
            members.entry(key).or_default().push(entry);
        }
    }
    let mut groups: Vec<Group<K>> =
        members.into_iter().filter_map(|(key, members)| group(key, &members)).collect();
    groups.sort_by(|a, b| (b.sums.total, b.sums.count, &a.key).cmp(&(a.sums.total, a.sums.count, &b.key)));
    groups
}

fn group<K>(key: K, members: &[&Entry]) -> Option<Group<K>> {
    let largest = members.iter().max_by_key(|entry| (entry.sums.total, entry.sums.longest))?;
    let mut sums = Sums::default();
    let mut objects: BTreeMap<&str, TimeSums> = BTreeMap::new();
    for entry in members {
        sums.add(&entry.sums);
        for (name, more) in &entry.objects {
            objects.entry(name).or_default().add(more);
        }
    }
    let mut objects: Vec<(String, TimeSums)> =
        objects.into_iter().map(|(name, sums)| (name.to_owned(), sums)).collect();
    objects.sort_by(|a, b| (b.1.total, &a.0).cmp(&(a.1.total, &b.0)));
    Some(Group { key, sums, largest: (*largest).clone(), objects })
}

/// All their time.
#[expect(single_use_lifetimes, reason = "impl Trait needs its name")]
pub(super) fn total<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Nanos {
    Nanos(entries.into_iter().fold(0, |sum, entry| sum.saturating_add(entry.sums.total.0)))
}
