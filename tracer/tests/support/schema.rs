//! As much of JSON Schema 2020-12 as gotrace's own schema uses, and stricter: a property that the schema does not name
//! is refused, so that a field cannot be forgotten there. A keyword that is not known here is a panic.

use serde_json::Value;

/// Why a value is not what a schema says, and where.
pub(crate) type Refused = String;

/// Checks a value against the definition of that name, or against the whole schema for "".
pub(crate) fn check(schema: &Value, name: &str, value: &Value) -> Result<(), Refused> {
    let of = if name.is_empty() { schema } else { &schema["$defs"][name] };
    assert!(of.is_object(), "the schema has no {name}");
    one(schema, of, value, "")
}

fn one(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), Refused> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{at} may not be there")),
        other => other.as_object().expect("a schema"),
    };
    let refuse = |why: String| Err(format!("{at}: {why}: {value}"));
    for (keyword, of) in keywords {
        let holds = match keyword.as_str() {
            "$schema"
            | "$defs"
            | "title"
            | "description"
            | "default"
            | "properties"
            | "additionalProperties" => true,
            "$ref" => {
                let name = of.as_str().and_then(|name| name.strip_prefix("#/$defs/")).expect("a definition");
                one(root, &root["$defs"][name], value, at)?;
                true
            }
            "type" => match of {
                Value::Array(types) => types.iter().any(|name| is_of_type(name, value)),
                name => is_of_type(name, value),
            },
            "const" => value == of,
            "enum" => list(of).contains(value),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= of.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= of.as_f64()),
            "minItems" => value.as_array().is_none_or(|items| Some(items.len() as u64) >= of.as_u64()),
            "maxItems" => value.as_array().is_none_or(|items| Some(items.len() as u64) <= of.as_u64()),
            "required" => list(of).iter().all(|name| value.get(name.as_str().unwrap_or("")).is_some()),
            "anyOf" | "oneOf" => {
                let tried: Vec<_> = list(of).iter().map(|schema| one(root, schema, value, at)).collect();
                let fitting = tried.iter().filter(|tried| tried.is_ok()).count();
                if fitting == 0 {
                    let why: Vec<Refused> = tried.into_iter().filter_map(Result::err).collect();
                    return refuse(format!("none of: {}", why.join("; ")));
                }
                keyword == "anyOf" || fitting == 1
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    one(root, of, item, &format!("{at}/{index}"))?;
                }
                true
            }
            other => panic!("unknown keyword {other}"),
        };
        if !holds {
            return refuse(format!("not as {keyword} says ({of})"));
        }
    }
    properties(root, schema, value, at)
}

/// Those that the schema names, and no others unless it says so.
fn properties(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), Refused> {
    let Some(object) = value.as_object() else { return Ok(()) };
    let (named, others) = (schema.get("properties"), schema.get("additionalProperties"));
    if named.is_none() && others.is_none() {
        return Ok(());
    }
    for (name, value) in object {
        let of = named.and_then(|named| named.get(name)).or(others).unwrap_or(&Value::Bool(false));
        one(root, of, value, &format!("{at}/{name}"))?;
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}
