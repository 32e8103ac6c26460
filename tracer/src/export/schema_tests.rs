//! Every line that the golden files have is as the schema says, and nothing else is.

use super::*;

#[path = "../../tests/support/schema.rs"]
mod check;

use check::check;

/// Golden files, and the definitions that their lines are of.
const GOLDEN: [(&str, &[&str]); 6] = [
    (include_str!("golden/startup.ndjson"), &["StartLine"]),
    (include_str!("golden/blocking.ndjson"), &["RunningLine"]),
    (include_str!("golden/gc.ndjson"), &["GcLine"]),
    (include_str!("golden/status.ndjson"), &["NowLine"]),
    (include_str!("golden/diff.ndjson"), &["DiffLine"]),
    (include_str!("golden/diff_running.ndjson"), &["RunningDiffLine"]),
];

fn lines() -> impl Iterator<Item = (Value, &'static str)> {
    GOLDEN.iter().flat_map(|(text, names)| {
        let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
        parsed.map(|line| (line, names[0]))
    })
}

#[test]
fn every_line_is_of_its_definition_and_of_the_whole() {
    let schema = schema();
    for (line, name) in lines() {
        check(&schema, name, &line).unwrap();
        check(&schema, "", &line).unwrap();
    }
}

#[test]
fn every_line_says_of_which_type_it_is() {
    let schema = schema();
    let names = [
        "StartLine",
        "RunningLine",
        "WaitsLine",
        "GcLine",
        "NowLine",
        "ListLine",
        "DiffLine",
        "RunningDiffLine",
    ];
    assert_eq!(schema["anyOf"].as_array().unwrap().len(), names.len() + 1, "and what inspect writes");
    for name in names {
        for line in schema["$defs"][name]["oneOf"].as_array().unwrap() {
            assert!(line["properties"]["type"]["const"].is_string(), "{name}: {line}");
            assert!(line["required"].as_array().unwrap().contains(&"type".into()), "{name}: {line}");
            assert!(line["description"].is_string(), "{name}: {line}");
        }
    }
}

#[test]
fn a_field_that_is_not_there_or_not_known_is_refused() {
    let schema = schema();
    let mut optional = std::collections::BTreeSet::new();
    for (line, name) in lines() {
        let kind = line["type"].as_str().unwrap().to_owned();
        for field in line.as_object().unwrap().keys() {
            let mut without = line.clone();
            without.as_object_mut().unwrap().remove(field);
            if check(&schema, name, &without).is_ok() {
                optional.insert(format!("{name} {kind} {field}"));
            }
        }
        let mut with = line.clone();
        with["no_such_field"] = 1.into();
        assert!(check(&schema, name, &with).is_err(), "{with}");
        let mut of_other_type = line;
        of_other_type["type"] = "no_such_type".into();
        assert!(check(&schema, name, &of_other_type).is_err(), "{of_other_type}");
    }
    // Where it is not known where an init's time went, none of its parts is there.
    let expected = [
        "RunningLine blocking retried",
        "RunningLine loss by_reason",
        "RunningLine slow retried",
        "StartLine finding package",
        "StartLine init blocked",
        "StartLine init blocked_ns",
        "StartLine init gc_assist_ns",
        "StartLine init major_faults",
        "StartLine init on_cpu_ns",
        "StartLine init page_faults",
        "StartLine init remainder_ns",
        "StartLine init runnable_ns",
        "StartLine init syscalls",
        "StartLine phase steps",
    ];
    assert_eq!(optional.into_iter().collect::<Vec<_>>(), expected);
}
