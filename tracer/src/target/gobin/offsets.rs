//! What was measured of the runtime's structures, by release of Go.

mod measured;

use serde::Deserialize;

use super::collector::{CollectorLayout, ControllerLayout, StatsLayout, WorkLayout};
use super::runtime_layout::{GLayout, MLayout, PLayout, PollLayout, RuntimeLayout};
use super::{GoVersion, HeapLayout, PausesLayout, SchedulerLayout};

/// Where a runtime keeps what. Where one is none, gotrace reads nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Layouts {
    pub(super) g: GLayout,
    pub(super) m: MLayout,
    pub(super) p: PLayout,
    pub(super) poll: PollLayout,
    pub(super) heap: HeapLayout,
    pub(super) work: Option<WorkLayout>,
    pub(super) controller: Option<ControllerLayout>,
    pub(super) stats: Option<StatsLayout>,
    pub(super) scheduler: Option<SchedulerLayout>,
    pub(super) pauses: Option<PausesLayout>,
}

impl Layouts {
    pub(super) fn runtime(&self) -> RuntimeLayout {
        let Self { g, m, p, poll, .. } = *self;
        RuntimeLayout { g, m, p, poll }
    }

    pub(super) fn collector(&self) -> Option<CollectorLayout> {
        Some(CollectorLayout { work: self.work?, controller: self.controller?, stats: self.stats? })
    }
}

/// One row of the table.
#[derive(Debug)]
struct Measured {
    minor: u32,
    /// The patch releases that were measured, and are all alike.
    patches: &'static [u32],
    layouts: Layouts,
}

/// Of the machine that gotrace runs on, which a program that it follows is built for too.
static TABLE: &[Measured] = if cfg!(target_arch = "aarch64") { measured::ARM64 } else { measured::AMD64 };

/// What was measured of a release, or of the one before it that was, or of its minor version's first that was; none
/// where experiments may have changed it. What is neither a release nor a candidate of one is taken for the last.
pub(super) fn of(version: &GoVersion) -> Option<&'static Layouts> {
    nearest(version).map(|measured| &measured.layouts)
}

/// The same of releases that were measured themselves, or are between two that were and are alike. Not of what somebody
/// has built of a release and named otherwise.
pub(super) fn exactly(version: &GoVersion) -> Option<&'static Layouts> {
    let patch = version.patch()?;
    let released = [format!("go1.{}.{patch}", version.minor()), format!("go1.{}", version.minor())];
    if !released.iter().any(|released| released == version.raw()) {
        return None;
    }
    let measured = nearest(version)?;
    let within = *measured.patches.first()?..=*measured.patches.last()?;
    within.contains(&patch).then_some(&measured.layouts)
}

fn nearest(version: &GoVersion) -> Option<&'static Measured> {
    if version.experiments().is_some() {
        return None;
    }
    let known = || TABLE.iter().filter(|measured| measured.minor == version.minor());
    let patch = version.patch().unwrap_or(u32::MAX);
    known().rfind(|measured| measured.patches.iter().any(|known| *known <= patch)).or_else(|| known().next())
}

#[cfg(test)]
mod tests {
    use super::super::VersionSource;
    use super::*;

    fn patches_for(text: &str) -> Option<&'static [u32]> {
        let version = GoVersion::parse(text, VersionSource::BuildInfo).expect("a version");
        nearest(&version).map(|measured| measured.patches)
    }

    #[test]
    fn a_release_is_taken_for_the_nearest_before_it() {
        assert_eq!(patches_for("go1.23.4"), Some(&[4, 9][..]));
        assert_eq!(patches_for("go1.23.2"), Some(&[1, 3][..]));
        assert_eq!(patches_for("go1.23.7"), Some(&[4, 9][..]));
        assert_eq!(patches_for("go1.21.0"), Some(&[13][..]), "there is none before it");
        assert_eq!(patches_for("go1.22.99"), Some(&[10][..]));
    }

    #[test]
    fn only_what_was_measured_is_known_exactly() {
        let is_known = |text: &str| {
            exactly(&GoVersion::parse(text, VersionSource::BuildInfo).expect("a version")).is_some()
        };
        for known in
            ["go1.21.13", "go1.23.1", "go1.23.2", "go1.23.7", "go1.26", "go1.26.0", "go1.26.4", "go1.27.3"]
        {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "go1.21.12",
            "go1.26.7",
            "go1.26rc1",
            "go1.26.6-custom",
            "go1.26.6-X:arenas",
            "go1.26.6 X:arenas",
            "devel go1.26-0123abc Mon Jan 1",
            "go1.28.0",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }

    #[test]
    fn nothing_is_known_of_other_versions_and_experiments() {
        for unknown in ["go1.18.10", "go1.20.14", "go1.28.0", "go1.26.6-X:greenteagc"] {
            assert_eq!(patches_for(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn releases_are_in_their_order() {
        for table in [measured::AMD64, measured::ARM64] {
            let all: Vec<(u32, u32)> = table
                .iter()
                .flat_map(|measured| measured.patches.iter().map(|patch| (measured.minor, *patch)))
                .collect();
            assert!(all.is_sorted(), "{all:?}");
        }
    }
}
