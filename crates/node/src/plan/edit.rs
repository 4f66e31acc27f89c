//! Edits of a config that belongs to somebody else: what is ours comes and goes, comments and order stay.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

use super::runtimes::{File, HANDLERS, Handlers, fill, plugin};
use crate::model::Refusal;
use crate::refuse;

/// Writes the handlers' tables into the file.
pub fn add_tables(file: &mut File, version: i64, handlers: Handlers) -> Result<(), Refusal> {
    let shown = file.path.display().to_string();
    for handler in HANDLERS {
        if !handlers.has(handler) {
            remove_table(&mut file.document, version, handler);
            continue;
        }
        let mut table: &mut dyn TableLike = file.document.as_table_mut();
        for key in ["plugins", plugin(version), "containerd", "runtimes", handler] {
            let item = table.entry(key).or_insert_with(|| Item::Table(implicit()));
            let Some(next) = item.as_table_like_mut() else {
                return refuse!(
                    "{shown}: `{key}` is no table: mend the file, containerd could not read it either"
                );
            };
            table = next;
        }
        fill(table, handler);
    }
    Ok(())
}

/// Takes the handlers' tables out, where they are ours.
pub fn remove_tables(document: &mut DocumentMut) {
    for version in [2, 3] {
        for handler in HANDLERS {
            remove_table(document, version, handler);
        }
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
            let kind = table.get(handler).and_then(Item::as_table_like).and_then(|t| t.get("runtime_type"));
            if kind.and_then(Item::as_str) == Some(super::runtimes::RUNTIME_TYPE) {
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
