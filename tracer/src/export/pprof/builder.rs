//! A profile as it grows: strings, functions, locations and samples that are equal are one.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use prost::Message as _;

use super::super::printable;
use super::proto::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use crate::model::Subject;
use crate::target::gobin::Frame;

/// The mapping of the program's own code.
const CODE: u64 = 1;

/// A profile that is being made.
pub(super) struct Builder {
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64, i64), u64>,
    locations: HashMap<(u64, Vec<Line>), u64>,
    samples: HashMap<(Vec<u64>, Vec<Label>), usize>,
}

impl Builder {
    /// Of that program; its samples have so many values, each of that type and unit, of which `default` is shown
    /// unless another is asked for.
    pub(super) fn new(subject: &Subject, types: &[(&str, &str)], default: &str) -> Self {
        let mut builder = Self {
            profile: Profile { string_table: vec![String::new()], ..Profile::default() },
            strings: HashMap::from([(String::new(), 0)]),
            functions: HashMap::new(),
            locations: HashMap::new(),
            samples: HashMap::new(),
        };
        builder.profile.sample_type = types.iter().map(|of| builder.value_type(*of)).collect();
        builder.profile.default_sample_type = builder.string(default);
        builder.profile.time_nanos = signed(subject.wall_clock_unix_ns);
        let filename = builder.string(&subject.exe.to_string_lossy());
        let code = subject.code.as_ref();
        let build_id = code.and_then(|code| code.build_id.as_deref()).map_or(0, |id| builder.string(id));
        builder.profile.mapping.push(Mapping {
            id: CODE,
            memory_start: code.map_or(0, |code| code.start.0),
            memory_limit: code.map_or(0, |code| code.end.0),
            file_offset: code.map_or(0, |code| code.offset.0),
            filename,
            build_id,
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        });
        builder.comment(&format!(
            "gotrace {}, pid {}, {}, Linux {}",
            env!("CARGO_PKG_VERSION"),
            subject.pid,
            subject.go_version,
            subject.kernel
        ));
        builder
    }

    /// How long it took, and what is between two samples.
    pub(super) fn lasted(&mut self, nanos: u64, period_type: (&str, &str), period: u64) {
        self.profile.duration_nanos = signed(nanos);
        self.profile.period_type = Some(self.value_type(period_type));
        self.profile.period = signed(period);
    }

    /// Something that whoever reads it must know.
    pub(super) fn comment(&mut self, text: &str) {
        let text = self.string(text);
        self.profile.comment.push(text);
    }

    /// What several samples say of themselves; what is not known is left out.
    pub(super) fn labels(&mut self, labels: &[(&str, Option<&str>)]) -> Vec<Label> {
        let mut told = Vec::new();
        for (key, value) in labels {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                told.push(Label { key: self.string(key), str: self.string(value) });
            }
        }
        told
    }

    /// The locations of a stack, innermost first: calls that were inlined are in the location of the function that
    /// they were inlined into.
    pub(super) fn stack<F: Borrow<Frame>>(&mut self, frames: &[F]) -> Vec<u64> {
        let is_inlined = |inner: &Frame, outer: &Frame| inner.inlined && inner.address == outer.address;
        let mut stack = Vec::new();
        for calls in frames.chunk_by(|inner, outer| is_inlined(inner.borrow(), outer.borrow())) {
            let lines = calls.iter().map(|frame| self.line(frame.borrow())).collect();
            let address = calls.first().and_then(|frame| frame.borrow().address);
            stack.push(self.location(address.map_or(0, |address| address.0), lines));
        }
        stack
    }

    /// Something that stands on a stack and is no code.
    pub(super) fn stands_for(&mut self, name: &str) -> u64 {
        let function = self.function(name, None, 0);
        self.location(0, vec![Line { function_id: function, line: 0 }])
    }

    /// Adds to the sample with that stack and those labels. Nothing is not added.
    pub(super) fn add(&mut self, stack: &[u64], labels: &[Label], values: &[u64]) {
        if values.iter().all(|value| *value == 0) {
            return;
        }
        let samples = &mut self.profile.sample;
        let place = *self.samples.entry((stack.to_vec(), labels.to_vec())).or_insert_with(|| {
            let value = vec![0; values.len()];
            samples.push(Sample { location_id: stack.to_vec(), value, label: labels.to_vec() });
            samples.len() - 1
        });
        for (sum, more) in samples[place].value.iter_mut().zip(values) {
            *sum = sum.saturating_add(signed(*more));
        }
    }

    /// The profile.
    pub(super) fn build(self) -> Profile {
        self.profile
    }

    /// Writes it, compressed.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(super) fn write(self, out: &mut dyn Write) -> io::Result<()> {
        // Without the time: equal reports are equal files.
        let mut out = GzBuilder::new().mtime(0).write(out, Compression::default());
        out.write_all(&self.build().encode_to_vec())?;
        out.finish()?;
        Ok(())
    }

    fn line(&mut self, frame: &Frame) -> Line {
        let function_id = self.function(&frame.function, frame.file.as_deref(), frame.begins);
        Line { function_id, line: frame.line.into() }
    }

    fn location(&mut self, address: u64, lines: Vec<Line>) -> u64 {
        let locations = &mut self.profile.location;
        *self.locations.entry((address, lines)).or_insert_with_key(|(address, lines)| {
            let id = locations.len() as u64 + 1;
            let mapping_id = if *address == 0 { 0 } else { CODE };
            locations.push(Location { id, mapping_id, address: *address, line: lines.clone() });
            id
        })
    }

    fn function(&mut self, name: &str, file: Option<&str>, begins: u32) -> u64 {
        let key = (self.string(name), file.map_or(0, |file| self.string(file)), i64::from(begins));
        let functions = &mut self.profile.function;
        *self.functions.entry(key).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            let (name, filename, start_line) = key;
            functions.push(Function { id, name, system_name: name, filename, start_line });
            id
        })
    }

    fn value_type(&mut self, (kind, unit): (&str, &str)) -> ValueType {
        ValueType { r#type: self.string(kind), unit: self.string(unit) }
    }

    /// pprof prints names as they are, so they are made harmless here.
    fn string(&mut self, text: &str) -> i64 {
        let text = printable(text);
        if let Some(known) = self.strings.get(&text) {
            return *known;
        }
        let table = &mut self.profile.string_table;
        let place = signed(table.len() as u64);
        table.push(text.clone());
        self.strings.insert(text, place);
        place
    }
}

/// Profiles have signed numbers.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
