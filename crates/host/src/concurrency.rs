//! Which components need an engine with async functions, streams and futures.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

/// Whether `component` has any of them, or imports from WASI 0.3: this host's functions of that release are async,
/// also where the component imports none but the others.
///
/// Invalid components have either answer: the compiler says what is wrong with them.
pub(crate) fn is_used_by(component: &[u8]) -> bool {
    // What is not even a component of the other engine. Function bodies cannot tell, and are not looked at.
    let mut without = Validator::new_with_features(WasmFeatures::all().difference(WasmFeatures::CM_ASYNC));
    let payloads = Parser::new(0).parse_all(component).map_while(Result::ok);
    payloads.into_iter().any(|payload| imports_wasi_0_3(&payload) || without.payload(&payload).is_err())
}

fn imports_wasi_0_3(payload: &Payload<'_>) -> bool {
    let Payload::ComponentImportSection(imports) = payload else { return false };
    let mut imports = imports.clone().into_iter().flatten();
    imports.any(|import| import.name.name.starts_with("wasi:") && import.name.name.contains("@0.3."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_used_by_text(component: &str) -> bool {
        is_used_by(&wat::parse_str(component).unwrap())
    }

    #[test]
    fn what_is_async_uses_concurrency() {
        for fields in [
            r#"(import "f" (func async))"#,
            r#"(import "f" (func (param "bytes" (stream u8))))"#,
            r#"(type (future u32))"#,
            r#"(component (type (stream)))"#,
            r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
               (func (export "f") async (canon lift (core func $i "f")))"#,
        ] {
            assert!(is_used_by_text(&format!("(component {fields})")), "{fields}");
        }
    }

    #[test]
    fn so_does_what_imports_wasi_0_3() {
        assert!(is_used_by_text(r#"(component (import "wasi:random/random@0.3.0" (instance)))"#));
    }

    #[test]
    fn wasi_0_2_and_interfaces_of_others_do_not() {
        for import in ["wasi:random/random@0.2.12", "wasi:cli/run@0.2.3", "acme:tools/calc@0.3.0"] {
            assert!(!is_used_by_text(&format!(r#"(component (import "{import}" (instance)))"#)), "{import}");
        }
        assert!(!is_used_by_text("(component (core module (memory 1) (func (drop (i32.const 1)))))"));
    }
}
