//! What a component has to run.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

use super::PrepareError;
use super::errors::list;

/// The newest comes first. Any release of a 0.x matches: exports are found on their semver track.
const COMMANDS: [&str; 2] = ["wasi:cli/run@0.3.0", "wasi:cli/run@0.2.12"];
const EXPECTED: &str = "a component has `wasi:cli/run` or a handler of `wasi:http`, 0.2 or 0.3, or a function that is named as `path#function`";

/// Interfaces of components that serve.
const SERVERS: [(Release, &str); 2] =
    [(Release::P3, "wasi:http/handler@0.3.0"), (Release::P2, "wasi:http/incoming-handler@0.2.12")];

/// What becomes of a component.
pub(super) enum Target {
    /// It is called once.
    Call(Call),
    /// It answers requests.
    Server(Release),
}

/// A release of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    P2,
    P3,
}

/// The function to call.
#[derive(Clone)]
pub(super) enum Call {
    /// `run` of a command, async or not.
    Run(ComponentExportIndex),
    /// A function without parameters.
    Function { index: ComponentExportIndex, results: usize },
}

/// The function that was `wanted`: `name` of the world, or `interface#name`. Else the command's `run`, or a server's handler.
pub(super) fn target(component: &Component, wanted: Option<&str>) -> Result<Target, PrepareError> {
    match wanted {
        Some(wanted) => function(component, wanted).map(Target::Call),
        None => command(component)
            .map(Target::Call)
            .or_else(|| server(component))
            .ok_or_else(|| nothing_to_run(component)),
    }
}

fn server(component: &Component) -> Option<Target> {
    let found = SERVERS.into_iter().find(|(_, name)| component.get_export_index(None, name).is_some());
    found.map(|(release, _)| Target::Server(release))
}

fn command(component: &Component) -> Option<Call> {
    let run = |name| {
        let interface = component.get_export_index(None, name)?;
        component.get_export_index(Some(&interface), "run")
    };
    COMMANDS.into_iter().find_map(run).map(Call::Run)
}

fn nothing_to_run(component: &Component) -> PrepareError {
    PrepareError::World { exports: list(&exports(component)), expected: EXPECTED }
}

fn function(component: &Component, wanted: &str) -> Result<Call, PrepareError> {
    let found = match wanted.rsplit_once('#') {
        None => component.get_export(None, wanted),
        Some((interface, name)) => component
            .get_export_index(None, interface)
            .and_then(|interface| component.get_export(Some(&interface), name)),
    };
    let Some((ComponentItem::ComponentFunc(function), index)) = found else {
        return Err(PrepareError::NoFunction {
            wanted: wanted.to_owned(),
            functions: list(&functions(component)),
        });
    };
    let parameters = parameters(&function);
    match parameters.is_empty() {
        true => Ok(Call::Function { index, results: function.results().len() }),
        false => Err(PrepareError::Parameters { function: wanted.to_owned(), parameters }),
    }
}

fn parameters(function: &ComponentFunc) -> String {
    function.params().map(|(name, _)| name.to_owned()).collect::<Vec<_>>().join(", ")
}

fn exports(component: &Component) -> Vec<String> {
    component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Every function that can be named, with parameters or without.
fn functions(component: &Component) -> Vec<String> {
    let engine = component.engine();
    let mut functions = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => functions.push(name.to_owned()),
            ComponentItem::ComponentInstance(interface) => {
                let inner = interface
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                functions.extend(inner.map(|(inner, _)| format!("{name}#{inner}")));
            }
            _ => {}
        }
    }
    functions
}
