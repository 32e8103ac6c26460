//! Lines that several NDJSON reports have beside their header.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Finding, MissingProbe};
use crate::units::Nanos;

/// What stands out.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct FindingLine<'a> {
    id: &'static str,
    /// Of a start only: null when it is about no package's init.
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<Option<&'a str>>,
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    duration_ns: Nanos,
    text: &'a str,
    advice: &'static str,
}

impl<'a> FindingLine<'a> {
    /// Of a program that runs.
    pub(super) fn of(finding: &'a Finding) -> Self {
        let place = finding.place.as_ref();
        Self {
            id: finding.id,
            package: None,
            function: place.map(|frame| &*frame.function),
            file: place.and_then(|frame| frame.file.as_deref()),
            line: place.map(|frame| frame.line),
            duration_ns: finding.duration,
            text: &finding.text,
            advice: finding.advice,
        }
    }

    /// Of a start.
    pub(super) fn of_start(finding: &'a Finding) -> Self {
        Self { package: Some(finding.package.as_deref()), ..Self::of(finding) }
    }
}

/// A probe that is not there.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct MissingLine<'a> {
    probe: &'a str,
    function: &'a str,
    reason: &'a str,
}

impl<'a> MissingLine<'a> {
    pub(super) fn of(missing: &'a MissingProbe) -> Self {
        Self { probe: &missing.probe, function: &missing.function, reason: &missing.reason }
    }
}
