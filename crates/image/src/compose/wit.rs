//! Types as WIT writes them, for errors.

use std::fmt::{self, Write};

use wac_graph::types::{DefinedType, FuncTypeId, InterfaceId, ItemKind, Type, Types, ValueType};

use super::parts::Parts;

/// How deep a type is written out.
const MAX_DEPTH: usize = 6;

/// The longest text of one type, in characters.
const MAX_TEXT: usize = 300;

/// The first thing in which two types differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub wanted: String,
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wanted is `{}`, there is `{}`", self.wanted, self.found)
    }
}

/// Compares what is imported with what does not fit it.
pub fn difference(parts: &Parts, wanted: ItemKind, found: ItemKind) -> Difference {
    let types = parts.types();
    if let (ItemKind::Instance(wanted), ItemKind::Instance(found)) = (wanted, found) {
        for (name, wanted) in &types[wanted].exports {
            match types[found].exports.get(name).copied() {
                Some(there) if parts.fits(there, *wanted) => {}
                there => {
                    let nothing = || format!("nothing called {name}");
                    let found = there.map_or_else(nothing, |there| named(types, name, there));
                    return Difference { wanted: named(types, name, *wanted), found };
                }
            }
        }
    }
    Difference { wanted: item(types, wanted), found: item(types, found) }
}

/// `name: func(…)`, `resource name`, `type name = …`.
fn named(types: &Types, name: &str, kind: ItemKind) -> String {
    short(match kind {
        ItemKind::Func(id) => format!("{name}: {}", func(types, id)),
        ItemKind::Type(Type::Resource(_)) => format!("resource {name}"),
        ItemKind::Type(Type::Value(ty)) => format!("type {name} = {}", value(types, ty, 0)),
        ItemKind::Instance(id) => format!("{name}: {}", interface(types, id)),
        other => format!("{name}: {}", other.desc(types)),
    })
}

fn item(types: &Types, kind: ItemKind) -> String {
    short(match kind {
        ItemKind::Func(id) => func(types, id),
        ItemKind::Instance(id) => interface(types, id),
        ItemKind::Type(Type::Value(ty)) | ItemKind::Value(ty) => value(types, ty, 0),
        other => other.desc(types).into(),
    })
}

fn interface(types: &Types, id: InterfaceId) -> String {
    let members = types[id].exports.iter().map(|(name, kind)| match kind {
        ItemKind::Func(id) => format!("{name}: {}", func(types, *id)),
        other => format!("{} {name}", other.desc(types)),
    });
    format!("interface {{ {} }}", members.collect::<Vec<_>>().join("; "))
}

fn func(types: &Types, id: FuncTypeId) -> String {
    let ty = &types[id];
    let params: Vec<String> =
        ty.params.iter().map(|(name, ty)| format!("{name}: {}", value(types, *ty, 0))).collect();
    let mut text = format!("{}func({})", if ty.is_async { "async " } else { "" }, params.join(", "));
    if let Some(result) = ty.result {
        // To write into a String never fails.
        let _ = write!(text, " -> {}", value(types, result, 0));
    }
    text
}

fn value(types: &Types, ty: ValueType, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".into();
    }
    match ty {
        ValueType::Primitive(ty) => ty.desc().into(),
        ValueType::Borrow(id) => format!("borrow<{}>", types[types.resolve_resource(id)].name),
        ValueType::Own(id) => types[types.resolve_resource(id)].name.clone(),
        ValueType::Defined(id) => defined(types, &types[id], depth),
    }
}

fn defined(types: &Types, ty: &DefinedType, depth: usize) -> String {
    let inner = |ty: &ValueType| value(types, *ty, depth + 1);
    let maybe = |ty: &Option<ValueType>| ty.as_ref().map_or_else(|| "_".to_owned(), inner);
    let braced = |word: &str, fields: Vec<String>| format!("{word} {{ {} }}", fields.join(", "));
    match ty {
        DefinedType::Tuple(tys) => format!("tuple<{}>", tys.iter().map(inner).collect::<Vec<_>>().join(", ")),
        DefinedType::List(ty) => format!("list<{}>", inner(ty)),
        DefinedType::FixedSizeList(ty, size) => format!("list<{}, {size}>", inner(ty)),
        DefinedType::Map(key, value) => format!("map<{}, {}>", inner(key), inner(value)),
        DefinedType::Option(ty) => format!("option<{}>", inner(ty)),
        DefinedType::Result { ok: None, err: None } => "result".into(),
        DefinedType::Result { ok, err: None } => format!("result<{}>", maybe(ok)),
        DefinedType::Result { ok, err } => format!("result<{}, {}>", maybe(ok), maybe(err)),
        DefinedType::Variant(variant) => braced(
            "variant",
            variant
                .cases
                .iter()
                .map(|(name, ty)| {
                    ty.as_ref().map_or_else(|| name.clone(), |ty| format!("{name}({})", inner(ty)))
                })
                .collect(),
        ),
        DefinedType::Record(record) => braced(
            "record",
            record.fields.iter().map(|(name, ty)| format!("{name}: {}", inner(ty))).collect(),
        ),
        DefinedType::Flags(flags) => braced("flags", flags.0.iter().cloned().collect()),
        DefinedType::Enum(cases) => braced("enum", cases.0.iter().cloned().collect()),
        DefinedType::Alias(ty) => value(types, *ty, depth),
        DefinedType::Stream(None) => "stream".into(),
        DefinedType::Stream(ty) => format!("stream<{}>", maybe(ty)),
        DefinedType::Future(None) => "future".into(),
        DefinedType::Future(ty) => format!("future<{}>", maybe(ty)),
    }
}

fn short(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
