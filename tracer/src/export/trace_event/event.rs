//! The events, one a line, each written as soon as it is known.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::track::Slice;
use crate::export::printable;
use crate::model::Subject;
use crate::units::Nanos;

/// Writes events of one process, and the object around them.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    pid: u32,
    zero: Nanos,
    is_first: bool,
    /// The last flow's number.
    flow: u64,
}

/// An event (Trace Event Format, "Event Descriptions").
#[derive(Serialize)]
struct Event<'a> {
    ph: Phase,
    pid: u32,
    tid: u64,
    ts: Micros,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    /// Of a flow, its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// Of an instant, how far it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<Reach>,
    /// Of a flow's end, what it is bound to: the slice around it, and not the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
}

#[derive(Clone, Copy, Serialize)]
enum Phase {
    /// A slice begins.
    B,
    /// The slice that began last on its track ends.
    E,
    /// An instant.
    #[serde(rename = "i")]
    Instant,
    /// A counter has a new value.
    C,
    /// A flow's arrow begins.
    #[serde(rename = "s")]
    FlowBegin,
    /// It ends.
    #[serde(rename = "f")]
    FlowEnd,
    /// Metadata.
    M,
}

/// How far the line of an instant reaches.
#[derive(Clone, Copy, Serialize)]
pub(super) enum Reach {
    /// Across its track.
    #[serde(rename = "t")]
    Track,
    /// Across all of the process's.
    #[serde(rename = "p")]
    Process,
}

/// Nanoseconds as microseconds. What is shorter than 101 days, 2^43 of them, keeps every nanosecond.
pub(super) struct Micros(pub(super) Nanos);

impl Serialize for Micros {
    #[expect(clippy::cast_precision_loss, reason = "exact for 101 days")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.0.is_multiple_of(1_000) {
            serializer.serialize_u64(self.0.0 / 1_000)
        } else {
            serializer.serialize_f64(self.0.0 as f64 / 1e3)
        }
    }
}

impl<'a> Writer<'a> {
    /// Begins the trace of a process. Times are written from `zero` on, on the boot clock: as they are, they would soon
    /// be too large for the readers' floating-point numbers.
    pub(super) fn new(subject: &Subject, zero: Nanos, out: &'a mut dyn Write) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let mut writer = Self { out, pid: subject.pid, zero, is_first: true, flow: 0 };
        let exe = &subject.exe;
        let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
        writer.metadata(0, "process_name", json!({ "name": printable(&name) }))?;
        let about: Vec<String> =
            subject.module.iter().chain([&subject.go_version]).map(|text| printable(text)).collect();
        writer.metadata(0, "process_labels", json!({ "labels": about.join(", ") }))?;
        Ok(writer)
    }

    /// When the trace begins.
    pub(super) const fn zero(&self) -> Nanos {
        self.zero
    }

    /// Ends the trace. `other` is everything that is no event.
    pub(super) fn finish(self, other: &impl Serialize) -> io::Result<()> {
        self.out.write_all(b"\n],\"otherData\":")?;
        serde_json::to_writer(&mut *self.out, other)?;
        self.out.write_all(b"}\n")
    }

    /// Names a track. Tracks are shown in the order of `sort`.
    pub(super) fn track(&mut self, tid: u64, name: &str, sort: u64) -> io::Result<()> {
        self.metadata(tid, "thread_name", json!({ "name": printable(name) }))?;
        self.metadata(tid, "thread_sort_index", json!({ "sort_index": sort }))
    }

    /// A slice begins.
    pub(super) fn begin(&mut self, tid: u64, slice: &Slice<'_>) -> io::Result<()> {
        let event = self.event(Phase::B, tid, slice.start);
        self.write(&Event { name: Some(&printable(&slice.name)), cat: Some(slice.category), ..event })
    }

    /// The slice that began last on the track ends. One that began before the trace is shown from there on, and says how
    /// long before. What else is to be told of it comes with its end: speedscope would make it a part of its name
    /// otherwise. It names the slice and its category again: the engine of Chrome's DevTools takes an end with another
    /// one for a mismatch.
    pub(super) fn end(&mut self, tid: u64, slice: &Slice<'_>) -> io::Result<()> {
        let mut args = slice.args.to_json();
        let earlier = self.zero.since(slice.start);
        if earlier > Nanos(0) {
            args["began_before_ns"] = earlier.0.into();
        }
        let event = self.event(Phase::E, tid, slice.end);
        let (name, cat) = (printable(&slice.name), Some(slice.category));
        self.write(&Event { name: Some(&name), cat, args: Some(args), ..event })
    }

    /// Something that takes no time.
    pub(super) fn instant(
        &mut self,
        tid: u64,
        at: Nanos,
        name: &str,
        reach: Reach,
        args: Option<Value>,
    ) -> io::Result<()> {
        let event = self.event(Phase::Instant, tid, at);
        self.write(&Event { name: Some(&printable(name)), s: Some(reach), args, ..event })
    }

    /// A counter's value from then on.
    pub(super) fn counter(&mut self, at: Nanos, name: &str, unit: &str, value: u64) -> io::Result<()> {
        let event = self.event(Phase::C, 0, at);
        self.write(&Event { name: Some(name), args: Some(json!({ unit: value })), ..event })
    }

    /// An arrow between the slices of that category that begin on two tracks at those moments.
    pub(super) fn flow(
        &mut self,
        name: &str,
        category: &str,
        from: (u64, Nanos),
        to: (u64, Nanos),
    ) -> io::Result<()> {
        self.flow += 1;
        let (id, name, cat) = (Some(self.flow), Some(name), Some(category));
        let event = self.event(Phase::FlowBegin, from.0, from.1);
        self.write(&Event { id, name, cat, ..event })?;
        let event = self.event(Phase::FlowEnd, to.0, to.1);
        self.write(&Event { id, name, cat, bp: Some("e"), ..event })
    }

    fn metadata(&mut self, tid: u64, name: &str, args: Value) -> io::Result<()> {
        let event = self.event(Phase::M, tid, self.zero);
        self.write(&Event { name: Some(name), args: Some(args), ..event })
    }

    fn event(&self, ph: Phase, tid: u64, at: Nanos) -> Event<'static> {
        let ts = Micros(at.since(self.zero));
        Event { ph, pid: self.pid, tid, ts, name: None, cat: None, id: None, s: None, bp: None, args: None }
    }

    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.out.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        serde_json::to_writer(&mut *self.out, event)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_keep_every_nanosecond() {
        for nanos in [0, 1, 999, 1_000, 915_490_123, (1 << 43) * 1_000 - 1] {
            let text = serde_json::to_string(&Micros(Nanos(nanos))).unwrap();
            let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
            let nanos_of = format!("{part:0<3}").parse::<u64>().unwrap();
            assert_eq!(whole.parse::<u64>().unwrap() * 1_000 + nanos_of, nanos, "{text}");
        }
    }
}
