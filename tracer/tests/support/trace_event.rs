//! The rules of the Trace Event Format, as far as a file of ours can break them.

#![allow(dead_code, reason = "every test uses its own part of this")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Nanoseconds of a number of microseconds.
fn nanos(micros: &Value) -> u64 {
    let micros = micros.as_f64().expect("a number");
    assert!(micros >= 0.0, "{micros} is before the beginning");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let nanos = (micros * 1e3).round() as u64;
    nanos
}

/// A slice, as a reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) track: String,
    pub(crate) name: String,
    pub(crate) category: String,
    /// Nanoseconds from the trace's beginning.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) args: Value,
    /// The names of the slices around it, the outermost first.
    pub(crate) within: Vec<String>,
}

/// What a trace holds. Whatever breaks the format's rules is a panic.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) slices: Vec<Slice>,
    /// Name, track and time.
    pub(crate) instants: Vec<(String, String, u64)>,
    /// By name, the times and values.
    pub(crate) counters: BTreeMap<String, Vec<(u64, u64)>>,
    /// From and to: the tracks and slices.
    pub(crate) flows: Vec<(String, String)>,
    pub(crate) other: Value,
}

#[derive(Default)]
struct Track {
    name: Option<String>,
    open: Vec<Slice>,
    last: u64,
}

/// Reads a trace as strictly as can be: every slice within or beside every other of its track.
pub(crate) fn read(text: &str) -> Trace {
    let file: Value = serde_json::from_str(text).expect("JSON");
    let events = file["traceEvents"].as_array().expect("traceEvents");
    assert!(file["displayTimeUnit"] == "ns", "{}", file["displayTimeUnit"]);
    let mut trace = Trace { other: file["otherData"].clone(), ..Trace::default() };
    let mut tracks: BTreeMap<u64, Track> = BTreeMap::new();
    let mut orders = BTreeSet::new();
    let mut pids = BTreeSet::new();
    let mut begun: BTreeMap<u64, String> = BTreeMap::new();
    for event in events {
        pids.insert(event["pid"].as_u64().expect("a pid"));
        let tid = event["tid"].as_u64().expect("a tid");
        assert!(u32::try_from(tid).is_ok(), "readers keep 32 bits of {tid}");
        let at = nanos(&event["ts"]);
        let track = tracks.entry(tid).or_default();
        let name = || event["name"].as_str().expect("a name").to_owned();
        let phase = event["ph"].as_str().expect("ph");
        if matches!(phase, "B" | "i" | "s" | "f") {
            assert!(track.name.is_some(), "{event} is on a track without a name");
        }
        match phase {
            "M" => match (event["name"].as_str(), &event["args"]) {
                (Some("thread_name"), args) => {
                    let name = args["name"].as_str().expect("a track's name").to_owned();
                    assert!(track.name.replace(name).is_none(), "track {tid} has two names");
                }
                (Some("thread_sort_index"), args) => {
                    assert!(orders.insert(args["sort_index"].as_u64().expect("an index")), "{event}");
                }
                (Some("process_name"), args) => assert!(args["name"].is_string(), "{event}"),
                (Some("process_labels"), args) => assert!(args["labels"].is_string(), "{event}"),
                other => panic!("unknown metadata {other:?}"),
            },
            "B" => {
                assert!(track.last <= at, "{event} is before {} ns", track.last);
                track.last = at;
                let within = track.open.iter().map(|slice| slice.name.clone()).collect();
                let category = event["cat"].as_str().expect("a category").to_owned();
                let name_of_track = track.name.clone().unwrap_or_default();
                let (name, start, end, args) = (name(), at, at, Value::Null);
                track.open.push(Slice { track: name_of_track, name, category, start, end, args, within });
            }
            "E" => {
                assert!(track.last <= at, "{event} is before {} ns", track.last);
                track.last = at;
                let slice = track.open.pop().unwrap_or_else(|| panic!("{event} ends nothing"));
                let ends = (name(), event["cat"].as_str().unwrap_or_default().to_owned());
                assert_eq!((&slice.name, &slice.category), (&ends.0, &ends.1), "{event} ends another slice");
                assert!(slice.start < at, "{event} has no length");
                let args = event["args"].clone();
                assert!(args.is_object(), "{event}");
                trace.slices.push(Slice { end: at, args, ..slice });
            }
            "i" => {
                assert!(matches!(event["s"].as_str(), Some("t" | "p")), "{event}");
                trace.instants.push((name(), track.name.clone().unwrap_or_default(), at));
            }
            "C" => {
                let values = event["args"].as_object().expect("values");
                let value = values.values().next().and_then(Value::as_u64).expect("a value");
                trace.counters.entry(name()).or_default().push((at, value));
            }
            "s" | "f" => {
                let id = event["id"].as_u64().expect("a flow's number");
                let around = trace
                    .slices
                    .iter()
                    .filter(|slice| slice.start <= at && at < slice.end)
                    .filter(|slice| Some(&slice.track) == track.name.as_ref());
                let slice = around.max_by_key(|slice| slice.within.len());
                let slice = slice.unwrap_or_else(|| panic!("{event} is in no slice"));
                let begins = (slice.category.as_str(), slice.start);
                assert_eq!(
                    begins,
                    (event["cat"].as_str().unwrap_or_default(), at),
                    "{event} is of another slice"
                );
                let end = format!("{}: {}", slice.track, slice.name);
                if phase == "s" {
                    assert!(begun.insert(id, end).is_none(), "{event} begins twice");
                } else {
                    assert_eq!(event["bp"], "e", "{event}");
                    trace.flows.push((begun.remove(&id).expect("a flow that began"), end));
                }
            }
            other => panic!("unknown phase {other}"),
        }
    }
    assert_eq!(pids.len(), 1, "one process");
    assert!(begun.is_empty(), "flows without an end: {begun:?}");
    for (tid, track) in tracks {
        assert!(track.open.is_empty(), "track {tid} has slices without an end: {:?}", track.open);
    }
    trace.slices.sort_by_key(|slice| (slice.start, slice.within.len()));
    trace
}

impl Trace {
    /// The slices of a category.
    pub(crate) fn of<'a>(&'a self, category: &'a str) -> impl Iterator<Item = &'a Slice> {
        self.slices.iter().filter(move |slice| slice.category == category)
    }
}
