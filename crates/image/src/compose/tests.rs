use super::*;

mod errors;
mod graphs;
mod types;

/// A component whose interfaces all have one function, `f: func(x: u32) -> u32`.
pub fn part(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let import = |name: &&str| {
        format!(r#"(import "{name}" (instance (export "f" (func (param "x" u32) (result u32)))))"#)
    };
    let export = |name: &&str| format!(r#"(export "{name}" (instance $e))"#);
    wat(&format!(
        r#"(component {imports}
            (core module $m (func (export "f") (param i32) (result i32) local.get 0))
            (core instance $c (instantiate $m))
            (func $f (param "x" u32) (result u32) (canon lift (core func $c "f")))
            (instance $e (export "f" (func $f)))
            {exports})"#,
        imports = imports.iter().map(import).collect::<String>(),
        exports = exports.iter().map(export).collect::<String>(),
    ))
}

pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

pub fn components<'a>(parts: &'a [(&'a str, Vec<u8>)]) -> Vec<Component<'a>> {
    parts.iter().map(|(name, bytes)| Component { name, bytes }).collect()
}

/// The first component is the root; everything is matched by name.
pub fn wiring(parts: &[(&str, Vec<u8>)]) -> Wiring {
    Wiring { root: parts[0].0.into(), ..Wiring::default() }
}

pub fn composed(parts: &[(&str, Vec<u8>)]) -> Composed {
    compose(&components(parts), &wiring(parts), Target::Any).unwrap()
}

pub fn refused(parts: &[(&str, Vec<u8>)]) -> String {
    compose(&components(parts), &wiring(parts), Target::Any).unwrap_err().to_string()
}

pub fn choice(to: &str, import: &str, from: &str) -> Choice {
    Choice { to: to.into(), import: import.into(), from: from.into(), export: None }
}

/// Each link as `to<-from`.
pub fn links(plan: &Plan) -> Vec<String> {
    plan.links.iter().map(|link| format!("{}<-{}", link.to, link.from)).collect()
}

/// How often the outermost component instantiates another.
pub fn instances(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut count = 0;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentInstanceSection(section) if depth == 1 => {
                for instance in section {
                    let instance = instance.unwrap();
                    count +=
                        usize::from(matches!(instance, wasmparser::ComponentInstance::Instantiate { .. }));
                }
            }
            _ => {}
        }
    }
    count
}

/// The names of what is imported and exported.
pub fn surface(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let seen = crate::inspect(bytes).unwrap();
    let names = |items: Vec<crate::inspect::Item>| items.into_iter().map(|item| item.name).collect();
    (names(seen.imports), names(seen.exports))
}
