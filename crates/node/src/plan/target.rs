//! Where the handlers' tables go: a drop-in where one works, else the config itself, else its template.

use std::path::{Path, PathBuf};

use super::imports::{of as imports_of, reaches};
use super::runtimes::{File, HANDLERS, Handlers, fill, plugin};
use super::{edit, template};
use crate::distro::{Distro, Way};
use crate::model::{Found, Refusal, State};
use crate::refuse;

/// The name of our drop-in, wherever it goes.
pub const DROP_IN: &str = "run-wasm.toml";

/// By what it is imported: a pattern, because a file that is imported by its name must be there for containerd to start.
pub const IMPORT: &str = "*run-wasm.toml";

const HEADER: &str =
    "# Made by run-wasm-node, which makes it anew: what you add belongs into a file of your own.\n";

/// The line by which k0s knows a config for its own.
const K0S_MANAGED: &str = "# k0s_managed=true";

/// What has to be at which path so that containerd has the handlers, in the order in which it is written.
pub fn states(found: &Found, handlers: Handlers) -> Result<Vec<(PathBuf, State)>, Refusal> {
    let text = config_text(found)?;
    let file = File::parse(&found.config, &text)?;
    let version = file.version()?;
    file.refuse_disabled(version)?;
    let ours_at = ours_at(found, &file, version)?;
    match found.distro.way() {
        Way::Rendered => rendered(found, &file, version, handlers, ours_at),
        Way::Managed if text.lines().any(|line| line.trim() == K0S_MANAGED) => {
            let version = if major(found) < 2 { 2 } else { 3 };
            Ok(vec![(found.distro.drop_ins().join(DROP_IN), drop_in(version, handlers))])
        }
        Way::Managed | Way::File => own_file(found, file, version, handlers, ours_at),
    }
}

/// The config, or what the smallest one would be.
fn config_text(found: &Found) -> Result<String, Refusal> {
    let shown = found.config.display();
    match (found.state(&found.config), found.distro) {
        (State::File(text), _) => Ok(text.clone()),
        (State::Link(to), _) => {
            refuse!(
                "{shown} is a symbolic link to {}: name the file itself with --containerd-config",
                to.display()
            )
        }
        (State::Absent, Distro::Plain | Distro::Kind) => {
            Ok(format!("version = {}\n", if major(found) < 2 { 2 } else { 3 }))
        }
        (State::Absent, distro) => refuse!("{shown} does not exist: start {distro} once, it makes the file"),
    }
}

/// The file, config or imported, that has tables of ours already. A foreign handler in any of them is refused.
fn ours_at(found: &Found, config: &File, version: i64) -> Result<Option<PathBuf>, Refusal> {
    let mut ours = None;
    for handler in HANDLERS {
        if config.ours(version, handler)?.is_some() {
            ours = Some(found.config.clone());
        }
    }
    // Our drop-in is made anew, whatever has become of it.
    let is_drop_in = |path: &PathBuf| path.file_name().is_some_and(|name| name == DROP_IN);
    for path in imported(found, config).into_iter().filter(|path| !is_drop_in(path)) {
        let Some(text) = found.state(&path).text() else { continue };
        let file = File::parse(&path, text)?;
        let version = file.version().unwrap_or(version);
        for handler in HANDLERS {
            if file.ours(version, handler)?.is_some() {
                ours = Some(path.clone());
            }
        }
    }
    Ok(ours)
}

/// The files that the config imports, as far as they were found.
fn imported(found: &Found, config: &File) -> Vec<PathBuf> {
    let patterns = imports_of(&config.document, &found.config);
    let reached = |path: &&PathBuf| patterns.iter().any(|pattern| reaches(pattern, path));
    found.files.keys().filter(reached).cloned().collect()
}

/// A config that is the admin's: containerd 2 merges tables of imported files, 1.x replaces the whole plugin's by them.
fn own_file(
    found: &Found,
    mut file: File,
    version: i64,
    handlers: Handlers,
    ours_at: Option<PathBuf>,
) -> Result<Vec<(PathBuf, State)>, Refusal> {
    let path = found.distro.drop_ins().join(DROP_IN);
    let takes_drop_ins = matches!(found.distro, Distro::Plain | Distro::Kind) && major(found) >= 2;
    let has_one = *found.state(&path) != State::Absent;
    if takes_drop_ins && (has_one || ours_at.is_none()) {
        let mut states = vec![(path.clone(), drop_in(version, handlers))];
        if !imports_of(&file.document, &found.config).iter().any(|pattern| reaches(pattern, &path)) {
            edit::add_import(&mut file, &found.distro.drop_ins().join(IMPORT).display().to_string())?;
            states.push((found.config.clone(), State::File(file.document.to_string())));
        }
        return Ok(states);
    }
    match ours_at {
        Some(path) if path != found.config => {
            let text = found.state(&path).text().unwrap_or_default();
            let mut file = File::parse(&path, text)?;
            let version = file.version().unwrap_or(version);
            if major(found) < 2 {
                edit::keep_default(&mut file, version)?;
            }
            edit::add_tables(&mut file, version, handlers)?;
            let text = file.document.to_string();
            Ok(vec![(path, State::File(text))])
        }
        _ => {
            if major(found) < 2 {
                edit::keep_default(&mut file, version)?;
            }
            edit::add_tables(&mut file, version, handlers)?;
            Ok(vec![(found.config.clone(), State::File(file.document.to_string()))])
        }
    }
}

/// k3s and RKE2: what they render says whether it imports drop-ins.
fn rendered(
    found: &Found,
    file: &File,
    version: i64,
    handlers: Handlers,
    ours_at: Option<PathBuf>,
) -> Result<Vec<(PathBuf, State)>, Refusal> {
    let template = template::path(&found.config, version);
    let text = match found.state(&template) {
        State::File(text) => Some(text.as_str()),
        State::Absent => None,
        State::Link(to) => {
            return refuse!("{} is a symbolic link to {}: make it a file", template.display(), to.display());
        }
    };
    let in_block = text.is_some_and(template::has_block);
    if let (Some(path), false) = (ours_at, in_block) {
        return refuse!(
            "{} has run-wasm's handlers by hand, from a template or a drop-in: take them out there, restart {}, and install again",
            path.display(),
            found.distro
        );
    }
    let folder = found.config.parent().unwrap_or(Path::new("/"));
    let drop_ins = imports_of(&file.document, &found.config).into_iter().find_map(|pattern| {
        let of = pattern.parent()?.to_owned();
        (of.parent() == Some(folder) && reaches(&pattern, &of.join(DROP_IN))).then_some(of)
    });
    match drop_ins {
        Some(folder) if major(found) >= 2 && !in_block => {
            Ok(vec![(folder.join(DROP_IN), drop_in(version, handlers))])
        }
        _ => {
            let State::File(tables) = tables("", version, handlers) else { return Ok(Vec::new()) };
            Ok(vec![(template, State::File(template::with_block(text, &tables)))])
        }
    }
}

fn drop_in(version: i64, handlers: Handlers) -> State {
    tables(&format!("{HEADER}version = {version}\n\n"), version, handlers)
}

/// The handlers' tables alone. Literal strings quote the plugin, as containerd writes it.
fn tables(start: &str, version: i64, handlers: Handlers) -> State {
    let mut text = start.to_owned();
    for handler in HANDLERS.into_iter().filter(|handler| handlers.has(handler)) {
        let mut table = toml_edit::Table::new();
        fill(&mut table, handler);
        let header = format!("plugins.'{}'.containerd.runtimes.{handler}", plugin(version));
        let options = table.remove("options");
        text.push_str(&format!("[{header}]\n{}", indented(&table)));
        if let Some(toml_edit::Item::Table(options)) = options {
            text.push_str(&format!("[{header}.options]\n{}", indented(&options)));
        }
    }
    State::File(text)
}

fn indented(table: &toml_edit::Table) -> String {
    table.to_string().lines().map(|line| format!("  {line}\n")).collect()
}

fn major(found: &Found) -> u64 {
    found.containerd.major
}
