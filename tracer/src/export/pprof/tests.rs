//! What a profile says, decoded again: as text that is compared with a golden file, and sums beside the report's own.

use std::fmt::Write as _;
use std::io::Read as _;

use flate2::read::GzDecoder;
use prost::Message as _;

use super::super::{Export as _, FlameOf, blocking_tests, golden_tests};
use super::Pprof;
use super::proto::{Location, Profile};
use crate::model::Cause;
use crate::model::parking::Parking;
use crate::units::Nanos;

const BLOCKED: Pprof = Pprof { of: FlameOf::Blocked };
const ON_CPU: Pprof = Pprof { of: FlameOf::OnCpu };

fn read(file: &[u8]) -> Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    Profile::decode(&bytes[..]).unwrap()
}

fn of_start() -> Profile {
    let mut file = Vec::new();
    BLOCKED.start(&golden_tests::report(), &mut file).unwrap();
    read(&file)
}

fn of_running(format: &Pprof) -> Profile {
    let mut file = Vec::new();
    format.running(&blocking_tests::whole(), &mut file).unwrap();
    read(&file)
}

impl Profile {
    fn text(&self, place: i64) -> &str {
        &self.string_table[usize::try_from(place).unwrap()]
    }

    fn location(&self, id: u64) -> &Location {
        self.location.iter().find(|location| location.id == id).unwrap()
    }

    fn functions(&self, location: u64) -> Vec<String> {
        let line = |line: &super::proto::Line| {
            let function = self.function.iter().find(|function| function.id == line.function_id).unwrap();
            assert_eq!(function.name, function.system_name);
            let name = self.text(function.name);
            match self.text(function.filename) {
                "" => name.to_owned(),
                file => format!("{name} {file}:{} (from {})", line.line, function.start_line),
            }
        };
        self.location(location).line.iter().map(line).collect()
    }

    /// The sum of the values of that type.
    fn sum(&self, kind: &str) -> u64 {
        let index = self.sample_type.iter().position(|of| self.text(of.r#type) == kind).unwrap();
        self.sample.iter().map(|sample| u64::try_from(sample.value[index]).unwrap()).sum()
    }

    /// All of it, for eyes.
    fn dump(&self) -> String {
        let mut text = String::new();
        let types: Vec<String> = self
            .sample_type
            .iter()
            .map(|of| format!("{}/{}", self.text(of.r#type), self.text(of.unit)))
            .collect();
        let default = self.text(self.default_sample_type);
        writeln!(text, "types: {}; default {default}", types.join(", ")).unwrap();
        let period = self.period_type.unwrap();
        let period = format!("{} {}/{}", self.period, self.text(period.r#type), self.text(period.unit));
        writeln!(text, "at {} for {}, period {period}", self.time_nanos, self.duration_nanos).unwrap();
        for mapping in &self.mapping {
            let (file, id) = (self.text(mapping.filename), self.text(mapping.build_id));
            let (start, end) = (mapping.memory_start, mapping.memory_limit);
            writeln!(text, "mapping {start:#x}-{end:#x}+{:#x} {file} {id}", mapping.file_offset).unwrap();
        }
        for comment in &self.comment {
            writeln!(text, "# {}", self.text(*comment).replace(env!("CARGO_PKG_VERSION"), "VERSION"))
                .unwrap();
        }
        for sample in &self.sample {
            let labels: Vec<String> = sample
                .label
                .iter()
                .map(|label| format!("{}={}", self.text(label.key), self.text(label.str)))
                .collect();
            writeln!(text, "{:?} {}", sample.value, labels.join(" ")).unwrap();
            for location in &sample.location_id {
                let address = self.location(*location).address;
                writeln!(text, "  {address:#x} {}", self.functions(*location).join(" <- ")).unwrap();
            }
        }
        text
    }
}

#[test]
fn profiles_are_as_they_were() {
    let all = [of_start().dump(), of_running(&BLOCKED).dump(), of_running(&ON_CPU).dump()];
    assert_eq!(all.join("\n"), include_str!("../golden/pprof.txt"));
}

#[test]
fn every_reference_leads_somewhere_and_numbers_begin_with_one() {
    for profile in [of_start(), of_running(&BLOCKED), of_running(&ON_CPU)] {
        assert_eq!(profile.string_table[0], "");
        let ids = |ids: Vec<u64>| assert!((1..).zip(&ids).all(|(expected, id)| expected == *id), "{ids:?}");
        ids(profile.location.iter().map(|location| location.id).collect());
        ids(profile.function.iter().map(|function| function.id).collect());
        ids(profile.mapping.iter().map(|mapping| mapping.id).collect());
        for location in &profile.location {
            assert!(location.mapping_id as usize <= profile.mapping.len());
            assert!(!location.line.is_empty());
        }
        for sample in &profile.sample {
            assert_eq!(sample.value.len(), profile.sample_type.len());
            assert!(!sample.location_id.is_empty() && sample.value.iter().any(|value| *value > 0));
        }
    }
}

#[test]
fn a_start_adds_up_to_what_the_report_says() {
    let (profile, report) = (of_start(), golden_tests::report());
    assert_eq!(Nanos(profile.sum("wall")), report.timeline.to_main.unwrap());
    let parts = || report.timeline.inits.iter().filter_map(|init| init.parts.as_ref());
    assert_eq!(profile.sum("cpu"), parts().map(|parts| parts.on_cpu.0).sum::<u64>());
    assert_eq!(profile.sum("runnable"), parts().map(|parts| parts.runnable.0).sum::<u64>());
    assert_eq!(profile.sum("blocked"), parts().map(|parts| parts.blocked().0).sum::<u64>());
    let heap = || report.timeline.inits.iter().filter_map(|init| init.heap);
    assert_eq!(profile.sum("alloc_objects"), heap().map(|heap| heap.allocs).sum::<u64>());
    assert_eq!(profile.sum("alloc_space"), heap().map(|heap| heap.bytes).sum::<u64>());
}

#[test]
fn what_a_phase_is_blocked_for_is_told_once() {
    let mut report = golden_tests::report();
    let init = report.timeline.inits[2].parts.unwrap();
    // The phase has what the init has, and 5 ns of its own.
    let mut after = crate::event::Account { on_cpu: init.on_cpu.0, ..Default::default() };
    after.blocked[crate::event::WaitKind::Sleep as usize] = init.blocked_by(Cause::Sleep).0 + 5;
    let parts = crate::model::Parts::between(&Default::default(), &after, Nanos(3_500_000));
    report.timeline.phases[4].parts = Some(parts);
    let mut file = Vec::new();
    BLOCKED.start(&report, &mut file).unwrap();
    let profile = read(&file);
    assert_eq!(profile.sum("blocked"), parts.blocked().0);
    assert_eq!(profile.sum("cpu"), parts.on_cpu.0);
}

#[test]
fn a_running_programs_profile_adds_up_to_what_the_report_says() {
    let report = blocking_tests::whole();
    let blocked = of_running(&BLOCKED);
    assert_eq!(Nanos(blocked.sum("delay")), report.suffered_total());
    let count: u64 = report.suffered().map(|entry| entry.sums.count).sum();
    assert_eq!(blocked.sum("contentions"), count);
    let samples: u64 = report.on_cpu.iter().map(|on_cpu| on_cpu.count).sum();
    let on_cpu = of_running(&ON_CPU);
    assert_eq!(on_cpu.sum("samples"), samples);
    assert_eq!(on_cpu.sum("cpu"), samples * 10_101_010);
}

/// Both are of what is asked for apart, and there is nothing of it here.
#[test]
fn what_was_not_followed_is_an_empty_profile() {
    for of in [FlameOf::Parked, FlameOf::Assists] {
        let profile = of_running(&Pprof { of });
        assert!(profile.sample.is_empty() && !profile.sample_type.is_empty());
    }
}

#[test]
fn profiles_of_waits_and_of_assists_add_up_to_what_the_report_says() {
    let report = blocking_tests::with_parking_and_gc();
    let of = |of| {
        let mut file = Vec::new();
        Pprof { of }.running(&report, &mut file).unwrap();
        read(&file)
    };
    let (parked, parkings) = (of(FlameOf::Parked), report.parking.as_ref().unwrap());
    let sum = |each: fn(&Parking) -> u64| parkings.suffered().map(each).sum::<u64>();
    assert_eq!(parked.sum("contentions"), sum(|one| one.sums.count));
    assert_eq!(parked.sum("delay"), sum(|one| one.sums.total.0));
    assert_eq!(parked.sum("runnable"), sum(|one| one.runnable.0));
    let (assists, gc) = (of(FlameOf::Assists), report.gc.as_ref().unwrap());
    assert_eq!(assists.sum("assists"), gc.assists.iter().map(|assist| assist.count).sum::<u64>());
    assert_eq!(assists.sum("assist_cpu"), gc.assists.iter().map(|assist| assist.cpu.0).sum::<u64>());
}

#[test]
fn inlined_calls_are_lines_of_one_location() {
    use super::builder::Builder;
    use crate::target::gobin::Frame;
    use crate::units::VirtAddr;

    let frame = |function: &str, inlined, address| Frame {
        function: function.into(),
        file: Some("/src/a.go".into()),
        line: 3,
        inlined,
        begins: 1,
        address: Some(VirtAddr(address)),
    };
    let stack = [
        frame("inner", true, 0x10),
        frame("middle", true, 0x10),
        frame("outer", false, 0x10),
        frame("caller", false, 0x20),
        // Cut off where a stack is too deep.
        frame("cut", true, 0x30),
    ];
    let mut builder = Builder::new(&golden_tests::subject(), &[("a", "count")], "a");
    let locations = builder.stack(&stack);
    builder.add(&locations, &[], &[1]);
    let profile = builder.build();
    let names: Vec<usize> = locations.iter().map(|id| profile.location(*id).line.len()).collect();
    assert_eq!(names, [3, 1, 1]);
    assert!(profile.functions(locations[0])[0].starts_with("inner "), "the innermost comes first");
}

#[test]
fn hostile_names_cannot_steer_the_terminal_that_pprof_prints_them_to() {
    for profile in [of_start(), of_running(&BLOCKED)] {
        assert!(profile.string_table.iter().any(|text| text.contains("evil\\u{1b}")));
        assert!(!profile.string_table.iter().any(|text| text.contains('\u{1b}')));
    }
}

#[test]
fn equal_reports_are_equal_files() {
    let file = || {
        let mut file = Vec::new();
        BLOCKED.running(&blocking_tests::whole(), &mut file).unwrap();
        file
    };
    assert_eq!(file(), file());
}
