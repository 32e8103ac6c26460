//! The JSON Schema of whatever gotrace writes as JSON, made from the types that are written.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::inspect::Inspection;
use super::{blocking_ndjson, diff, diff_ndjson, gc, list, ndjson, parking, status_ndjson};
use crate::event::recorded::SCHEMA;

/// The schema, of JSON Schema 2020-12. Each line of NDJSON is one of those that it names, and so is what inspect
/// writes. Properties that it does not know may come: fields are added, never renamed.
#[must_use]
pub fn schema() -> Value {
    // "uint64" and the like are no formats of JSON Schema, and validators that are strict refuse them.
    let without_formats = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("format")));
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(without_formats);
    let mut generator = settings.into_generator();
    let every = [
        ndjson::schema(&mut generator),
        blocking_ndjson::schema(&mut generator),
        parking::schema(&mut generator),
        gc::schema(&mut generator),
        status_ndjson::schema(&mut generator),
        list::schema(&mut generator),
        diff_ndjson::schema(&mut generator),
        diff::running_ndjson::schema(&mut generator),
        generator.subschema_for::<Inspection<'static>>(),
    ];
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("What gotrace {} writes as JSON, schema {SCHEMA}", env!("CARGO_PKG_VERSION")),
        "description": "One object a line (inspect: one object). Names that end in _ns are nanoseconds: of a time, \
                        on the kernel's boot clock (CLOCK_BOOTTIME). Fields may be added, never renamed.",
        "anyOf": every,
        "$defs": definitions,
    })
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
