//! Attributes, as OTLP has them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

use crate::units::Nanos;

/// Text.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// A number; beyond what OTLP's integers hold, the largest of them.
pub(super) fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// A time, in nanoseconds.
pub(super) fn time(key: &str, value: Nanos) -> KeyValue {
    number(key, value.0)
}

/// Yes or no.
pub(super) fn truth(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

/// Several texts.
pub(super) fn texts(key: &str, values: impl Iterator<Item = String>) -> KeyValue {
    let values = values.map(|value| AnyValue { value: Some(Value::StringValue(value)) }).collect();
    attribute(key, Value::ArrayValue(ArrayValue { values }))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
