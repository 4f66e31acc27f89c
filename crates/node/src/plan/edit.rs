//! Edits of a config that belongs to somebody else: what is ours comes and goes, comments and order stay.

use toml_edit::{Array, DocumentMut, Item, RawString, Table, TableLike, Value, value};

use super::runtimes::{File, HANDLERS, Handlers, RUNC, RUNC_TYPE, RUNTIME_TYPE, fill, plugin};
use crate::model::Refusal;
use crate::refuse;

/// The comment by which a table of containerd's own runtime is known as ours.
const OWN_RUNTIME: &str = "# run-wasm-node: containerd 1.7 forgets its own runtime where a config has any.\n";

/// Writes the runtime that containerd has by itself into a file that would otherwise have ours alone: go-toml of containerd 1.x
/// replaces the map that is built in by the file's, and CRI does not start without its default runtime.
pub fn keep_default(file: &mut File, version: i64) -> Result<(), Refusal> {
    if file.default_runtime(version) != RUNC
        || file.runtimes(version).is_some_and(|table| table.contains_key(RUNC))
    {
        return Ok(());
    }
    let mut table = Table::new();
    table.insert("runtime_type", value(RUNC_TYPE));
    table.decor_mut().set_prefix(format!("\n{OWN_RUNTIME}"));
    runtimes(file, version)?.insert(RUNC, Item::Table(table));
    Ok(())
}

/// The runtimes' table, which is made if need be.
fn runtimes<'a>(file: &'a mut File, version: i64) -> Result<&'a mut dyn TableLike, Refusal> {
    let shown = file.path.display().to_string();
    let mut table: &mut dyn TableLike = file.document.as_table_mut();
    for key in ["plugins", plugin(version), "containerd", "runtimes"] {
        table = inner(table, key, &shown)?;
    }
    Ok(table)
}

fn inner<'a>(table: &'a mut dyn TableLike, key: &str, shown: &str) -> Result<&'a mut dyn TableLike, Refusal> {
    let item = table.entry(key).or_insert_with(|| Item::Table(implicit()));
    match item.as_table_like_mut() {
        Some(next) => Ok(next),
        None => refuse!("{shown}: `{key}` is no table: mend the file, containerd could not read it either"),
    }
}

/// Writes the handlers' tables into the file.
pub fn add_tables(file: &mut File, version: i64, handlers: Handlers) -> Result<(), Refusal> {
    let shown = file.path.display().to_string();
    for handler in HANDLERS {
        if !handlers.has(handler) {
            remove_table(&mut file.document, version, handler);
            continue;
        }
        fill(inner(runtimes(file, version)?, handler, &shown)?, handler);
    }
    Ok(())
}

/// Takes the handlers' tables out, where they are ours.
pub fn remove_tables(document: &mut DocumentMut) {
    for version in [2, 3] {
        for handler in HANDLERS {
            remove_table(document, version, handler);
        }
        remove_table(document, version, RUNC);
    }
}

fn remove_table(document: &mut DocumentMut, version: i64, handler: &str) {
    let path = ["plugins", plugin(version), "containerd", "runtimes"];
    remove_within(document.as_table_mut(), &path, handler);
}

/// Removes `handler` at the end of `path`, and the tables on the way that only led there.
fn remove_within(table: &mut dyn TableLike, path: &[&str], handler: &str) {
    match path {
        [] => {
            if table.get(handler).is_some_and(is_ours) {
                table.remove(handler);
            }
        }
        [key, rest @ ..] => {
            let Some(item) = table.get_mut(key) else { return };
            // A table with a header of its own was somebody's, whatever is left in it.
            let led_only_there = item.as_table().is_some_and(Table::is_implicit);
            let Some(next) = item.as_table_like_mut() else { return };
            remove_within(next, rest, handler);
            if led_only_there && next.is_empty() {
                table.remove(key);
            }
        }
    }
}

/// Whether a runtime's table is ours: one of our handlers', or containerd's own as [`keep_default`] wrote it.
fn is_ours(runtime: &Item) -> bool {
    let kind = runtime.as_table_like().and_then(|table| table.get("runtime_type")).and_then(Item::as_str);
    let is_marked = |table: &Table| {
        let prefix = table.decor().prefix().and_then(RawString::as_str);
        table.len() == 1 && prefix.is_some_and(|prefix| prefix.contains(OWN_RUNTIME))
    };
    match kind {
        Some(RUNTIME_TYPE) => true,
        Some(RUNC_TYPE) => runtime.as_table().is_some_and(is_marked),
        _ => false,
    }
}

/// Adds a file to `imports`.
pub fn add_import(file: &mut File, import: &str) -> Result<(), Refusal> {
    let shown = file.path.display().to_string();
    let item = file.document.entry("imports").or_insert_with(|| value(Array::new()));
    let Some(imports) = item.as_array_mut() else {
        return refuse!("{shown}: `imports` is no array: mend the file, containerd could not read it either");
    };
    let Some(before) = imports.iter().last().and_then(prefix) else {
        imports.push(import);
        return Ok(());
    };
    // As the entries before it, on a line of its own where they have one; a comment behind the last of them stays there.
    let trailing = imports.trailing().as_str().unwrap_or_default().to_owned();
    let comment = match trailing.rsplit_once('\n') {
        Some((comment, end)) if comment.contains('#') => {
            imports.set_trailing(format!("\n{end}"));
            comment
        }
        _ => "",
    };
    let space = if before.contains('\n') { before.as_str() } else { " " };
    let mut entry = Value::from(import);
    entry.decor_mut().set_prefix(format!("{comment}{space}"));
    imports.push_formatted(entry);
    Ok(())
}

/// Takes a file out of `imports`; an array that becomes empty goes as well.
pub fn remove_import(document: &mut DocumentMut, import: &str) {
    let Some(imports) = document.get_mut("imports").and_then(Item::as_array_mut) else { return };
    let Some(at) = imports.iter().position(|entry| entry.as_str() == Some(import)) else { return };
    let removed = imports.remove(at);
    if imports.is_empty() {
        document.remove("imports");
    } else if let Some(before) = prefix(&removed)
        && let Some((comment, _)) = before.rsplit_once('\n')
        && comment.contains('#')
    {
        // It was behind the entry before.
        let end = imports.trailing().as_str().unwrap_or_default().to_owned();
        imports.set_trailing(format!("{comment}{end}"));
    }
}

/// What stands before a value.
fn prefix(value: &Value) -> Option<String> {
    Some(value.decor().prefix()?.as_str()?.to_owned())
}

fn implicit() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}
