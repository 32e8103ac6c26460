//! Who was made to help with marking, because the program allocated faster than the workers marked.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::blocking::Site;
use super::super::blocking::stacks::Stacks;
use crate::event::gc::Assist;
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// Goroutines that were made to help where they allocated.
#[derive(Clone, Debug, PartialEq)]
pub struct AssistSite {
    /// How often.
    pub count: u64,
    /// How long, by the runtime's own account: CPU time.
    pub cpu: Nanos,
    /// Their share of the time of all assists in the span, from 0 to 1.
    pub share: f64,
    /// Where they allocated, innermost first.
    pub stack: Arc<[Arc<Frame>]>,
    /// The go statement that made them.
    pub origin: Option<Frame>,
    /// The line of code that allocated.
    pub site: Site,
}

/// Of a span, the longest first.
#[expect(clippy::cast_precision_loss, reason = "a share")]
pub(super) fn sites(
    now: &[Assist],
    before: &[Assist],
    stacks: &mut Stacks<'_>,
    module: Option<&str>,
) -> Vec<AssistSite> {
    let earlier: HashMap<_, &Assist> =
        before.iter().map(|assist| ((assist.stack, assist.gopc), assist)).collect();
    let mut sites = Vec::new();
    for assist in now {
        let then = earlier.get(&(assist.stack, assist.gopc));
        let count = assist.count.saturating_sub(then.map_or(0, |then| then.count));
        let cpu = assist.time.since(then.map_or(Nanos(0), |then| then.time));
        if count == 0 {
            continue;
        }
        let resolved = stacks.resolve(assist.stack, assist.gopc);
        sites.push(AssistSite {
            count,
            cpu,
            share: 0.0,
            site: Site::of(&resolved.frames, resolved.origin.as_ref(), module),
            stack: resolved.frames,
            origin: resolved.origin,
        });
    }
    let all: u64 = sites.iter().fold(0, |sum: u64, site| sum.saturating_add(site.cpu.0));
    for site in &mut sites {
        site.share = site.cpu.0 as f64 / all.max(1) as f64;
    }
    sites.sort_by(|a, b| (Reverse(a.cpu), &a.site).cmp(&(Reverse(b.cpu), &b.site)));
    sites
}

/// The same by line of code: several stacks lead to one.
pub(super) fn by_site(sites: &[AssistSite]) -> Vec<AssistSite> {
    let mut merged: HashMap<&Site, AssistSite> = HashMap::new();
    for one in sites {
        match merged.get_mut(&one.site) {
            Some(sum) => {
                sum.count = sum.count.saturating_add(one.count);
                sum.cpu.0 = sum.cpu.0.saturating_add(one.cpu.0);
                sum.share += one.share;
            }
            None => {
                merged.insert(&one.site, one.clone());
            }
        }
    }
    let mut merged: Vec<AssistSite> = merged.into_values().collect();
    merged.sort_by(|a, b| (Reverse(a.cpu), &a.site).cmp(&(Reverse(b.cpu), &b.site)));
    merged
}
