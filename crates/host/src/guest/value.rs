//! Values of the component model as text, in WAVE (WebAssembly Value Encoding).

use wasmtime::component::Val;

/// `value` as WAVE writes it. What WAVE has no text for, such as a handle, is named by its kind.
pub(super) fn text(value: &Val) -> String {
    match value {
        Val::Bool(value) => value.to_string(),
        Val::S8(value) => value.to_string(),
        Val::U8(value) => value.to_string(),
        Val::S16(value) => value.to_string(),
        Val::U16(value) => value.to_string(),
        Val::S32(value) => value.to_string(),
        Val::U32(value) => value.to_string(),
        Val::S64(value) => value.to_string(),
        Val::U64(value) => value.to_string(),
        Val::Float32(value) => float(f64::from(*value), &value.to_string()),
        Val::Float64(value) => float(*value, &value.to_string()),
        Val::Char(value) => format!("{value:?}"),
        Val::String(value) => format!("{value:?}"),
        Val::List(values) | Val::FixedLengthList(values) => format!("[{}]", all(values)),
        Val::Tuple(values) => format!("({})", all(values)),
        Val::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("({}, {})", text(key), text(value)));
            format!("[{}]", pairs.collect::<Vec<_>>().join(", "))
        }
        Val::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", text(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Val::Variant(name, payload) => case(name, payload.as_deref()),
        Val::Enum(name) => name.clone(),
        Val::Option(None) => "none".to_owned(),
        Val::Option(payload) => case("some", payload.as_deref()),
        Val::Result(Ok(payload)) => case("ok", payload.as_deref()),
        Val::Result(Err(payload)) => case("err", payload.as_deref()),
        Val::Flags(names) => format!("{{{}}}", names.join(", ")),
        Val::Resource(_) => "<resource>".to_owned(),
        Val::Future(_) => "<future>".to_owned(),
        Val::Stream(_) => "<stream>".to_owned(),
        Val::ErrorContext(_) => "<error-context>".to_owned(),
    }
}

fn all(values: &[Val]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn case(name: &str, payload: Option<&Val>) -> String {
    payload.map_or_else(|| name.to_owned(), |payload| format!("{name}({})", text(payload)))
}

/// WAVE writes the odd ones in lower case.
fn float(value: f64, text: &str) -> String {
    match value {
        value if value.is_nan() => "nan".to_owned(),
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_wave() {
        let list = Val::List(vec![Val::U8(1), Val::U8(2)]);
        let record = Val::Record(vec![("name".into(), Val::String("a \"b\"".into())), ("of".into(), list)]);
        assert_eq!(text(&record), r#"{name: "a \"b\"", of: [1, 2]}"#);
        assert_eq!(text(&Val::Result(Err(None))), "err");
        assert_eq!(text(&Val::Option(Some(Box::new(Val::Float64(f64::NAN))))), "some(nan)");
        assert_eq!(
            text(&Val::Tuple(vec![Val::Char('x'), Val::Flags(vec!["a".into(), "b".into()])])),
            "('x', {a, b})"
        );
    }
}
