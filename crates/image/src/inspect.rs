//! What a component or module is, wants and offers, without running it.

mod producers;
mod table;
mod world;

use serde::Serialize;
use wasmparser::{ComponentExternalKind, ExternalKind, Parser, Payload, TypeRef, Validator, WasmFeatures};

pub use self::producers::Producers;
pub use self::world::World;
use crate::error::tame;
use crate::{Digest, ImageError, Kind, sniff};

/// A look into a component or module. Its `Display` is a table for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    pub digest: Digest,
    /// How it is run.
    pub world: World,
    /// In their order. Of a module, the name is `module::name`.
    pub imports: Vec<Item>,
    pub exports: Vec<Item>,
    /// Who made it, of all modules inside.
    pub producers: Producers,
}

/// An import or export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    pub name: String,
    /// `instance`, `func`, `memory`, …
    pub kind: &'static str,
}

/// Looks into a binary module or component, and validates it.
///
/// # Errors
/// [`ImageError::Wasm`] with what it is instead, or where it is broken.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ImageError> {
    let kind = sniff(bytes);
    if !kind.is_wasm_binary() {
        return Err(ImageError::Wasm(format!("it is {}", kind.describe())));
    }
    let broken = |error: wasmparser::Error| ImageError::Wasm(tame(&error.to_string(), 500));
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).map_err(broken)?;
    let mut seen = Walk::default();
    for payload in Parser::new(0).parse_all(bytes) {
        seen.payload(payload.map_err(broken)?).map_err(broken)?;
    }
    Ok(Inspection {
        kind,
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        world: World::by_exports(kind, &seen.exports),
        imports: seen.imports,
        exports: seen.exports,
        producers: seen.producers,
    })
}

#[derive(Default)]
struct Walk {
    /// 1 in the outermost module or component, more in those inside.
    depth: usize,
    imports: Vec<Item>,
    exports: Vec<Item>,
    producers: Producers,
}

impl Walk {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), wasmparser::Error> {
        match payload {
            Payload::Version { .. } => self.depth += 1,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CustomSection(section) => self.producers.read(&section),
            _ if self.depth != 1 => {}
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    self.imports.push(Item {
                        name: format!("{}::{}", import.module, import.name),
                        kind: type_name(import.ty),
                    });
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.push(Item { name: export.name.into(), kind: external_name(export.kind) });
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import?;
                    self.imports.push(component_item(import.name.name, import.ty.kind()));
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.push(component_item(export.name.name, export.kind));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn component_item(name: &str, kind: ComponentExternalKind) -> Item {
    Item { name: name.into(), kind: kind.desc() }
}

fn type_name(ty: TypeRef) -> &'static str {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "func",
        TypeRef::Table(_) => "table",
        TypeRef::Memory(_) => "memory",
        TypeRef::Global(_) => "global",
        TypeRef::Tag(_) => "tag",
    }
}

fn external_name(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "func",
        ExternalKind::Table => "table",
        ExternalKind::Memory => "memory",
        ExternalKind::Global => "global",
        ExternalKind::Tag => "tag",
    }
}

#[cfg(test)]
mod tests;
