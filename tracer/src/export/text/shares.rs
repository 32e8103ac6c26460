//! Parts of a whole: as words, as percents, as bars.

use crate::model::{Cause, Parts};
use crate::units::Nanos;

/// A part of the time is shown from this much on, and from this share of the whole on.
const PART: Nanos = Nanos(20_000);
pub(super) const PART_SHARE: u64 = 20;

/// What kept the thread from computing, the largest first.
pub(in super::super) fn parts(parts: Option<&Parts>, whole: Nanos) -> String {
    let Some(parts) = parts else { return String::new() };
    let mut shown: Vec<(Nanos, String)> =
        Cause::ALL.map(|cause| (parts.blocked_by(cause), cause.name().replace('_', " "))).into();
    shown.push((parts.runnable, "without a CPU".to_owned()));
    shown.push((parts.remainder, "unexplained".to_owned()));
    shown.extend(parts.assist.map(|time| (time, "GC assist".to_owned())));
    shown.retain(|(time, _)| *time >= PART && time.0 >= whole.0 / PART_SHARE);
    shown.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let shown: Vec<String> =
        shown.into_iter().map(|(time, name)| format!("{name} {}", time.for_people())).collect();
    shown.join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
pub(in super::super) fn share_of(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(in super::super) fn share(part: u64, whole: u64) -> String {
    format!("{:.1}%", share_of(part, whole) * 100.0)
}

/// A bar in eighths of a character.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8 * width")]
pub(super) fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share_of(part, whole).clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_the_share_of_the_whole() {
        assert_eq!(bar(1, 1, 8), "████████");
        assert_eq!(bar(1, 2, 8), "████");
        assert_eq!(bar(0, 5, 8), "");
        assert_eq!(bar(5, 0, 8), "");
        assert_eq!(bar(1, 64, 8), "▏");
    }
}
