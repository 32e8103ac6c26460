//! What stands out in a program's blocking. A healthy program that idles has none; README lists the thresholds.

use super::super::findings::Finding;
use super::super::waits::syscall_name;
use super::cause::BlockingCause;
use super::class::Class;
use super::entry::{Entry, Group, grouped, total};
use super::now::{BlockedGroup, Standing};
use super::report::BlockingReport;
use super::site::Site;
use crate::event::blocking::Kind;
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// Less than this never stands out.
const NOTABLE: Nanos = Nanos(100_000_000);
/// Nor does less than one part in so many of the span: then a goroutine waits now and then.
const SHARE_OF_SPAN: u64 = 10;
/// One place stands out from this part of all suffered time on: one in so many.
const SHARE_OF_ALL: u64 = 2;
/// Go's resolver and the C library's wait for 5 s when resolv.conf does not say otherwise; the time may be a little
/// less than the deadline by the gap between setting and parking.
const RESOLVER_TIMEOUT: Nanos = Nanos(4_900_000_000);
/// So many waits without a retry stand out, if the longest took that long.
const GIVEN_UP: u64 = 3;
/// So many threads that blocking calls have cost stand out.
const THREADS: u64 = 10;
/// Who has been blocked for so long stands out.
const STUCK: Nanos = Nanos(10_000_000_000);

pub(super) fn findings(report: &BlockingReport) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(dns_timeouts(report));
    findings.extend(given_up(report));
    findings.extend(syncs(report));
    findings.extend(locks(report));
    // Where something more definite is known of the place, that is told.
    let dominant = dominant(report);
    findings.extend(dominant.filter(|most| findings.iter().all(|other| other.place != most.place)));
    findings.extend(threads(report));
    findings.extend(report.blocked_groups.iter().filter_map(|group| stuck(report, group)));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.duration));
    findings
}

fn is_much(report: &BlockingReport, time: Nanos) -> bool {
    time >= NOTABLE && time.0 >= report.span().0 / SHARE_OF_SPAN
}

fn place(site: &Site) -> Option<Frame> {
    site.place().map(super::site::Place::frame)
}

/// One place that most of the suffered time goes to.
fn dominant(report: &BlockingReport) -> Option<Finding> {
    let all = report.suffered_total();
    let group = report.by_site().into_iter().next()?;
    let time = group.sums.total;
    let (site, cause) = &group.key;
    (is_much(report, time) && time.0 >= all.0 / SHARE_OF_ALL).then(|| Finding {
        id: "blocked_most",
        package: None,
        place: place(site),
        duration: time,
        text: format!(
            "{} of {} that goroutines were blocked: {}{}",
            time.for_people(),
            all.for_people(),
            times(&group),
            on(&group)
        ),
        advice: match cause {
            BlockingCause::Network => {
                "see what the other side does meanwhile; ask it less often, or at the same time"
            }
            BlockingCause::File if group.largest.key.file_type == Some(libc::S_IFIFO) => {
                "see what the other end of the pipe does meanwhile"
            }
            BlockingCause::File => {
                "do it in larger pieces, later, or not at all; see whether the disk is slow"
            }
            BlockingCause::Dns => "see whether the name server answers; keep what was resolved",
            BlockingCause::Lock => "see who holds it, and for how long",
            BlockingCause::Sleep => "wait for what it is waiting for; time.Sleep at least takes no thread",
            BlockingCause::Child => "see what the child does; do it in this process",
            BlockingCause::Other => "see what the system call waits for",
        },
    })
}

fn times<K>(group: &Group<K>) -> String {
    let name = syscall_name(group.largest.key.syscall);
    let what = match group.largest.key.kind {
        Kind::Call => format!("{name} calls"),
        Kind::NetworkWait | Kind::NoRetry => format!("waits of {name}"),
    };
    format!("{} {what}, the longest {}", group.sums.count, group.sums.longest.for_people())
}

fn on<K>(group: &Group<K>) -> String {
    group.objects.first().map_or_else(String::new, |(name, _)| format!(", on {name}"))
}

/// Questions that no name server answered.
fn dns_timeouts(report: &BlockingReport) -> Option<Finding> {
    let unanswered = report.entries.iter().filter(|entry| {
        entry.cause == BlockingCause::Dns
            && entry.class == Class::Suffered
            && entry.sums.longest >= RESOLVER_TIMEOUT
    });
    let group = grouped(unanswered, |_| Some(())).into_iter().next()?;
    let count = group.sums.at_least(Nanos(RESOLVER_TIMEOUT.0 / 4 * 3)).max(1);
    Some(Finding {
        id: "dns_timeout",
        package: None,
        place: place(&group.largest.site),
        duration: group.sums.total,
        text: format!(
            "{count} questions to name servers took {} at the longest, which is a resolver's timeout{}",
            group.sums.longest.for_people(),
            on(&group)
        ),
        advice: "a name server in /etc/resolv.conf does not answer: take it out, or set options timeout:1",
    })
}

fn given_up(report: &BlockingReport) -> Option<Finding> {
    let group = report.without_retry().into_iter().find(|group| {
        group.key.1 != BlockingCause::Dns && group.sums.count >= GIVEN_UP && group.sums.longest >= NOTABLE
    })?;
    Some(Finding {
        id: "gave_up",
        package: None,
        place: place(&group.key.0),
        duration: group.sums.total,
        text: format!(
            "{} waits of {} ended without another try, after at most {}: the deadline passed, or they were told to stop{}",
            group.sums.count,
            syscall_name(group.largest.key.syscall),
            group.sums.longest.for_people(),
            on(&group)
        ),
        advice: "see whether the other side answers, and whether the deadline is what it should be",
    })
}

fn syncs(report: &BlockingReport) -> Option<Finding> {
    let is_sync = |entry: &&Entry| {
        matches!(
            entry.syscall().as_str(),
            "fsync" | "fdatasync" | "sync_file_range" | "msync" | "sync" | "syncfs"
        )
    };
    let group = grouped(report.suffered().filter(is_sync), |_| Some(())).into_iter().next()?;
    is_much(report, group.sums.total).then(|| Finding {
        id: "fsync_heavy",
        package: None,
        place: place(&group.largest.site),
        duration: group.sums.total,
        text: format!(
            "{} for data to reach the disk: {}{}",
            group.sums.total.for_people(),
            times(&group),
            on(&group)
        ),
        advice: "sync once for many writes, or see whether this data must survive a crash",
    })
}

fn locks(report: &BlockingReport) -> Option<Finding> {
    let is_lock = |entry: &&Entry| entry.cause == BlockingCause::Lock;
    let group = grouped(report.suffered().filter(is_lock), |_| Some(())).into_iter().next()?;
    is_much(report, group.sums.total).then(|| Finding {
        id: "lock_contention",
        package: None,
        place: place(&group.largest.site),
        duration: group.sums.total,
        text: format!("{} for locks: {}{}", group.sums.total.for_people(), times(&group), on(&group)),
        advice: "see who holds the lock; hold it for less, or have more of them",
    })
}

fn threads(report: &BlockingReport) -> Option<Finding> {
    let made = report.scheduler.threads.for_blocking;
    let calls = report.suffered().filter(|entry| entry.key.kind == Kind::Call);
    let longest = report.suffered().find(|entry| entry.key.kind == Kind::Call);
    (made >= THREADS).then(|| Finding {
        id: "thread_growth",
        package: None,
        place: longest.and_then(|entry| place(&entry.site)),
        duration: total(calls),
        text: format!("{made} threads were made because system calls or C functions kept theirs"),
        advice: "let fewer goroutines do this at a time (a semaphore); the runtime never ends these threads",
    })
}

fn stuck(report: &BlockingReport, group: &BlockedGroup) -> Option<Finding> {
    let since = group.longest.since?;
    let duration = report.ended.since(since.time());
    let at_least = if since.is_exact() { "" } else { "at least " };
    let who = match group.count {
        1 => format!("goroutine {} has", group.longest.goid),
        count => format!("{count} goroutines have"),
    };
    let longest = if group.count == 1 { "" } else { ", the longest" };
    let syscall =
        group.longest.syscall.as_deref().or(group.longest.wait_reason.as_deref()).unwrap_or("a system call");
    let object = group.longest.object.as_ref().map_or_else(String::new, |object| format!(", {object}"));
    (group.standing == Standing::Suffered && duration >= STUCK).then(|| Finding {
        id: "stuck",
        package: None,
        place: place(&group.site),
        duration,
        text: format!("{who} been in {syscall}{longest} for {at_least}{}{object}", duration.for_people()),
        advice: "see what it waits for; give it a deadline",
    })
}
