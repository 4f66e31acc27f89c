//! An inspection as people read it.

use std::fmt;

use super::{Inspection, Item, World};

/// The most lines of one list.
const MAX_LINES: usize = 100;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "kind", self.kind.describe().trim_start_matches("a "))?;
        row(f, "size", &format!("{} bytes", self.size))?;
        row(f, "digest", &self.digest.to_string())?;
        row(f, "world", &self.world.to_string())?;
        list(f, "languages", self.producers.languages.iter().map(|name| clean(name)).collect())?;
        let makers = self.producers.processed_by.iter().chain(&self.producers.sdks);
        list(f, "made by", makers.map(|name| clean(name)).collect())?;
        list(f, "imports", self.imports.iter().map(line).collect())?;
        list(f, "exports", self.exports.iter().map(line).collect())
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            World::Command(export) => write!(f, "command ({})", clean(export)),
            World::HttpServer(export) => write!(f, "HTTP server ({})", clean(export)),
            World::Functions(names) => {
                let shown: Vec<String> =
                    names.iter().take(8).map(|name| format!("#{}", clean(name))).collect();
                let more = if names.len() > shown.len() { ", …" } else { "" };
                write!(f, "functions ({}{more})", shown.join(", "))
            }
            World::None => f.write_str("none: it exports nothing that can be run"),
        }
    }
}

fn line(item: &Item) -> String {
    // Interfaces are what one expects; only other kinds are worth a word.
    if item.kind == "instance" { clean(&item.name) } else { format!("{} ({})", clean(&item.name), item.kind) }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<10} {value}")
}

fn list(f: &mut fmt::Formatter<'_>, name: &str, lines: Vec<String>) -> fmt::Result {
    if lines.is_empty() {
        return row(f, name, "-");
    }
    for (at, line) in lines.iter().take(MAX_LINES).enumerate() {
        row(f, if at == 0 { name } else { "" }, line)?;
    }
    match lines.len().checked_sub(MAX_LINES) {
        None | Some(0) => Ok(()),
        Some(more) => row(f, "", &format!("… and {more} more")),
    }
}

/// Names come from strangers: nothing in them may steer a terminal.
fn clean(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
