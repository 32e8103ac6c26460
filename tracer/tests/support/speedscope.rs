//! The rules of speedscope's file format, and what its reader would show.

#![allow(dead_code, reason = "every test uses its own part of this")]

use std::collections::BTreeMap;

use serde_json::Value;

/// A profile, as the reader sums it up.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// From its beginning to its end.
    pub(crate) span: u64,
    /// What is in stacks of it.
    pub(crate) total: u64,
    /// Stacks, the outermost frame first and with semicolons between, and how much of the profile they are.
    pub(crate) stacks: BTreeMap<String, u64>,
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn index(value: &Value) -> usize {
    usize::try_from(number(value)).expect("an index")
}

/// Reads a file as strictly as can be, and which of its profiles is shown first.
pub(crate) fn read(text: &str) -> (Vec<Profile>, usize) {
    let file: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let frames: Vec<String> = file["shared"]["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .map(|frame| frame["name"].as_str().expect("a name").to_owned())
        .collect();
    let profiles: Vec<Profile> =
        file["profiles"].as_array().expect("profiles").iter().map(|of| profile(of, &frames)).collect();
    let active = index(&file["activeProfileIndex"]);
    assert!(active < profiles.len());
    (profiles, active)
}

fn profile(profile: &Value, frames: &[String]) -> Profile {
    let (start, end) = (number(&profile["startValue"]), number(&profile["endValue"]));
    let stacks = match profile["type"].as_str() {
        Some("evented") => evented(profile, frames, end),
        Some("sampled") => sampled(profile, frames),
        other => panic!("unknown type {other:?}"),
    };
    let unit = profile["unit"].as_str().expect("a unit").to_owned();
    assert!(["none", "nanoseconds"].contains(&&*unit), "{unit}");
    Profile {
        name: profile["name"].as_str().expect("a name").to_owned(),
        unit,
        span: end - start,
        total: stacks.values().sum(),
        stacks,
    }
}

fn evented(profile: &Value, frames: &[String], end: u64) -> BTreeMap<String, u64> {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    let mut open: Vec<usize> = Vec::new();
    let mut last = number(&profile["startValue"]);
    for event in profile["events"].as_array().expect("events") {
        let (at, frame) = (number(&event["at"]), index(&event["frame"]));
        assert!(last <= at && at <= end, "{event} is not between {last} and {end}");
        assert!(frame < frames.len(), "{event} has no frame");
        if at > last && !open.is_empty() {
            let stack: Vec<&str> = open.iter().map(|frame| &*frames[*frame]).collect();
            *stacks.entry(stack.join(";")).or_default() += at - last;
        }
        last = at;
        match event["type"].as_str() {
            Some("O") => open.push(frame),
            Some("C") => assert_eq!(open.pop(), Some(frame), "{event} closes another frame"),
            other => panic!("unknown event {other:?}"),
        }
    }
    assert!(open.is_empty(), "frames that are never closed: {open:?}");
    stacks
}

fn sampled(profile: &Value, frames: &[String]) -> BTreeMap<String, u64> {
    let (samples, weights) = (&profile["samples"], &profile["weights"]);
    let (samples, weights) = (samples.as_array().expect("samples"), weights.as_array().expect("weights"));
    assert_eq!(samples.len(), weights.len());
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for (sample, weight) in samples.iter().zip(weights) {
        let stack = sample.as_array().expect("a stack").iter();
        let stack: Vec<&str> = stack.map(|frame| &*frames[index(frame)]).collect();
        assert!(!stack.is_empty());
        *stacks.entry(stack.join(";")).or_default() += number(weight);
    }
    stacks
}
