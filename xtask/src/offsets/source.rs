//! The numbers as source code: each layout once, and a line for each release.

use std::fmt::Write as _;

use super::Measured;
use super::fields::{LAYOUTS, Number};

const HEAD: &str = "//! Where the runtime's structures keep what, in bytes, of the releases of Go that were measured.\n\
    //!\n\
    //! Written by `cargo xtask offsets` from the debug information of programs that these releases built:\n\
    //! what is to be read is said in `super::super::debug_info::fields`.\n\n";

/// The source code of the releases' tables, one for each machine.
pub(super) fn of(tables: &[(&str, Vec<Measured>)]) -> String {
    let mut types: Vec<String> = LAYOUTS.iter().map(|layout| type_of(layout.name)).collect();
    types.sort_unstable();
    let mut text =
        format!("{HEAD}use super::super::{{{}}};\nuse super::{{Layouts, Measured}};\n\n", types.join(", "));
    let mut constants = Constants::default();
    let mut lists = String::new();
    for (machine, releases) in tables {
        let _ = write!(
            lists,
            "\n/// Go's `{machine}`.\npub(super) static {}: &[Measured] = &[\n",
            machine.to_uppercase()
        );
        // Releases of a minor version between which nothing moved are one row.
        for same in releases.chunk_by(|one, next| one.minor == next.minor && one.numbers == next.numbers) {
            let [release, ..] = same else { continue };
            let patches: Vec<u32> = same.iter().map(|release| release.patch).collect();
            let _ = write!(
                lists,
                "    Measured {{ minor: {}, patches: &{patches:?}, layouts: Layouts {{ ",
                release.minor
            );
            for (layout, numbers) in LAYOUTS.iter().zip(&release.numbers) {
                let name =
                    numbers.as_ref().map(|numbers| constants.name(layout.name, machine, release, numbers));
                let value = match (name, layout.since > 0) {
                    (Some(name), false) => name,
                    (Some(name), true) => format!("Some({name})"),
                    (None, _) => "None".to_owned(),
                };
                let _ = write!(lists, "{}: {value}, ", layout.name);
            }
            lists.push_str("} },\n");
        }
        lists.push_str("];\n");
    }
    text.push_str(&constants.text);
    text.push_str(&lists);
    text
}

/// Each layout that differs from those before it.
#[derive(Default)]
struct Constants {
    text: String,
    known: Vec<Constant>,
}

struct Constant {
    name: String,
    of_type: String,
    numbers: Vec<(&'static str, Number)>,
}

impl Constants {
    fn name(
        &mut self,
        layout: &str,
        machine: &str,
        release: &Measured,
        numbers: &[(&'static str, Number)],
    ) -> String {
        let of_type = type_of(layout);
        let is_it = |known: &&Constant| known.of_type == of_type && known.numbers == numbers;
        if let Some(known) = self.known.iter().find(is_it) {
            return known.name.clone();
        }
        let name = format!("{layout}_{machine}_1_{}_{}", release.minor, release.patch).to_uppercase();
        let fields: Vec<String> = numbers
            .iter()
            .map(|(field, number)| match number {
                Number::Always(number) => format!("{field}: {number}"),
                Number::Sometimes(number) => format!("{field}: {number:?}"),
            })
            .collect();
        let _ = writeln!(self.text, "const {name}: {of_type} = {of_type} {{ {} }};", fields.join(", "));
        self.known.push(Constant { name: name.clone(), of_type, numbers: numbers.to_vec() });
        name
    }
}

/// The type of a field of `Layouts`: `GLayout` of `g`.
fn type_of(layout: &str) -> String {
    let (first, rest) = layout.split_at(1);
    format!("{}{rest}Layout", first.to_uppercase())
}
