//! The tables of our handlers, and what is in the way of them.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

use crate::model::Refusal;
use crate::paths::{CURRENT, SHARED_CONFIG, SHIM};
use crate::refuse;

pub const RUNTIME_TYPE: &str = "io.containerd.run.v2";

/// containerd's own handler, and its runtime.
pub const RUNC: &str = "runc";
pub const RUNC_TYPE: &str = "io.containerd.runc.v2";

/// Our handlers. The second is not there where the node's config does not allow shared mode.
pub const RUN: &str = "run";
pub const RUN_SHARED: &str = "run-shared";
pub const HANDLERS: [&str; 2] = [RUN, RUN_SHARED];

/// The plugin that has the runtimes, by the version of the config.
pub fn plugin(version: i64) -> &'static str {
    if version < 3 { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" }
}

/// Which handlers are written.
#[derive(Debug, Clone, Copy)]
pub struct Handlers {
    pub shared: bool,
}

impl Handlers {
    pub fn has(self, handler: &str) -> bool {
        handler == RUN || self.shared
    }
}

/// A file of TOML with its name, for sentences.
#[derive(Debug)]
pub struct File<'a> {
    pub path: &'a std::path::Path,
    pub text: &'a str,
    pub document: DocumentMut,
}

impl<'a> File<'a> {
    pub fn parse(path: &'a std::path::Path, text: &'a str) -> Result<File<'a>, Refusal> {
        match text.parse::<DocumentMut>() {
            Ok(document) => Ok(File { path, text, document }),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let why = error.message().replace('\n', ", ");
                refuse!(
                    "{}, line {line}: {why}: mend the file, containerd could not read it either",
                    path.display()
                )
            }
        }
    }

    /// The version of the config. One without is of version 1, which no supported containerd recommends.
    pub fn version(&self) -> Result<i64, Refusal> {
        let shown = self.path.display();
        match self.document.get("version").map(Item::as_integer) {
            Some(Some(version @ 2..=4)) => Ok(version),
            Some(Some(version)) => refuse!(
                "{shown} is a config of version {version}, and run-wasm-node knows 2, 3 and 4: migrate it with `containerd config migrate`"
            ),
            Some(None) => refuse!("{shown}: `version` is no number: write `version = 2`"),
            None => refuse!("{shown} has no `version`: migrate it with `containerd config migrate`"),
        }
    }

    /// The runtimes' table, if there is one.
    pub fn runtimes(&self, version: i64) -> Option<&dyn TableLike> {
        self.containerd(version)?.get("runtimes")?.as_table_like()
    }

    /// The handler of pods that name none.
    pub fn default_runtime(&self, version: i64) -> &str {
        let name = self.containerd(version).and_then(|table| table.get("default_runtime_name"));
        name.and_then(Item::as_str).filter(|name| !name.is_empty()).unwrap_or(RUNC)
    }

    /// What CRI's config says of containerd, if anything.
    fn containerd(&self, version: i64) -> Option<&dyn TableLike> {
        let mut item = self.document.get("plugins")?;
        for key in [plugin(version), "containerd"] {
            item = item.as_table_like()?.get(key)?;
        }
        item.as_table_like()
    }

    /// The table of a handler, if it is there and ours. Another's is refused.
    pub fn ours(&self, version: i64, handler: &str) -> Result<Option<&dyn TableLike>, Refusal> {
        let Some(item) = self.runtimes(version).and_then(|runtimes| runtimes.get(handler)) else {
            return Ok(None);
        };
        let table = item.as_table_like();
        let kind =
            table.and_then(|table| table.get("runtime_type")).and_then(Item::as_str).unwrap_or_default();
        if kind == RUNTIME_TYPE {
            return Ok(table);
        }
        let line = self.line_of(handler);
        refuse!(
            "{}, line {line}: there is a handler `{handler}` of another runtime ({}): rename it, run-wasm's RuntimeClass needs the name",
            self.path.display(),
            if kind.is_empty() { "without runtime_type" } else { kind }
        )
    }

    /// Plugins that are off need no runtimes.
    pub fn refuse_disabled(&self, version: i64) -> Result<(), Refusal> {
        let Some(disabled) = self.document.get("disabled_plugins").and_then(Item::as_array) else {
            return Ok(());
        };
        let off =
            |name: &&str| *name == "cri" || *name == plugin(version) || *name == "io.containerd.grpc.v1.cri";
        match disabled.iter().filter_map(Value::as_str).find(off) {
            Some(name) => refuse!(
                "{} disables the plugin {name} (`disabled_plugins`), so that no kubelet can use this containerd: take it out of the list",
                self.path.display()
            ),
            None => Ok(()),
        }
    }

    /// The line of a table's header. A parsed `DocumentMut` has lost its spans, so the text is looked through.
    fn line_of(&self, handler: &str) -> usize {
        let ends = [format!(".{handler}]"), format!(".\"{handler}\"]"), format!(".'{handler}']")];
        let found = self.text.lines().position(|line| {
            let line: String = line.chars().filter(|char| !char.is_whitespace()).collect();
            ends.iter().any(|end| line.starts_with('[') && line.contains(end.as_str()))
        });
        found.map_or(1, |line| line + 1)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.bytes().filter(|byte| *byte == b'\n').count() + 1)
}

/// Where containerd finds the shim, whatever its PATH is.
pub fn shim() -> String {
    format!("{CURRENT}/{SHIM}")
}

/// Writes what a handler's table has to say into it; whatever else is there stays.
pub fn fill(table: &mut dyn TableLike, handler: &str) {
    set(table, "runtime_type", value(RUNTIME_TYPE));
    set(table, "runtime_path", value(shim()));
    set(table, "pod_annotations", list(&["run.wasm/*"]));
    set(table, "container_annotations", list(&["io.kubernetes.container.*", "run.wasm/*"]));
    if handler == RUN_SHARED {
        // An inline config, `modes`, would replace the node's: a file has both.
        let options = table.entry("options").or_insert_with(|| Item::Table(Table::new()));
        if let Some(options) = options.as_table_like_mut() {
            options.remove("modes");
            set(options, "ConfigPath", value(SHARED_CONFIG));
        }
    }
}

/// Sets a key, and leaves one alone that says the same: its comments stay, and nothing has changed.
fn set(table: &mut dyn TableLike, key: &str, item: Item) {
    match table.get_mut(key) {
        Some(old) if same(old, &item) => {}
        Some(old) => *old = item,
        None => drop(table.insert(key, item)),
    }
}

fn same(a: &Item, b: &Item) -> bool {
    match (a.as_array(), b.as_array()) {
        (Some(a), Some(b)) => a.iter().map(Value::as_str).eq(b.iter().map(Value::as_str)),
        _ => a.as_str().is_some() && a.as_str() == b.as_str(),
    }
}

fn list(words: &[&str]) -> Item {
    value(words.iter().copied().collect::<Array>())
}
