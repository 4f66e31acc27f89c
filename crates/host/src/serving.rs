//! Which components serve HTTP.

use wasmparser::{Parser, Payload};

/// The interfaces that servers export, without versions: of WASI 0.2 and of 0.3.
pub(crate) const INCOMING_HANDLER: &str = "wasi:http/incoming-handler";
pub(crate) const HANDLER: &str = "wasi:http/handler";

/// Whether `export` is a server's, of any version.
pub(crate) fn is_servers(export: &str) -> bool {
    let name = export.split('@').next().unwrap_or_default();
    name == INCOMING_HANDLER || name == HANDLER
}

/// Whether `component` serves, or a component in it does: their code is of one kind.
///
/// Invalid components have either answer: the compiler says what is wrong with them.
pub(crate) fn is_done_by(component: &[u8]) -> bool {
    let mut payloads = Parser::new(0).parse_all(component).map_while(Result::ok);
    payloads.any(|payload| {
        let Payload::ComponentExportSection(exports) = payload else { return false };
        exports.into_iter().flatten().any(|export| is_servers(export.name.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exports_a_handler_serves() {
        let exporting = |name: &str| {
            let text = format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#);
            is_done_by(&wat::parse_str(text).unwrap())
        };
        assert!(exporting("wasi:http/incoming-handler@0.2.3") && exporting("wasi:http/handler@0.3.0"));
        assert!(!exporting("wasi:cli/run@0.2.3") && !exporting("acme:http/handler@0.3.0"));
    }
}
