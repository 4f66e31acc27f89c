//! JSON that has one spelling.

use serde_json::{Map, Value};

/// The bytes of `value` with sorted keys, whatever order serde_json keeps them in (a feature that any crate of a build can
/// switch on).
pub fn json(value: Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(pairs.into_iter().collect::<Map<_, _>>())
        }
        scalar => scalar,
    }
}

/// Adds the keys of object `more` to object `to`.
pub fn merge(to: &mut Value, more: Value) {
    if let (Value::Object(to), Value::Object(more)) = (to, more) {
        to.extend(more);
    }
}
