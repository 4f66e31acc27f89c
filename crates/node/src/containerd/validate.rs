//! containerd's own verdict on its config, before it is restarted with it.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, Item};

use super::{CALL, Containerd, missing};
use crate::distro::Way;
use crate::plan::runtimes::plugin;
use crate::{inside, say};

pub async fn validate(containerd: &Containerd, wanted: &BTreeMap<String, bool>) -> Result<()> {
    let Some(known) = configured(containerd).await.context("the new config")? else {
        say!("{}'s config is made when it starts: it is proved by the restart", containerd.distro);
        return Ok(());
    };
    match missing(wanted, &known) {
        Some(why) => bail!("containerd understands the new config otherwise than meant: {why}"),
        None => Ok(()),
    }
}

/// The handlers that containerd would know of the config as it is. `None`: what it reads is made at its start.
///
/// # Errors
/// It refuses the config, in its words.
pub async fn configured(containerd: &Containerd) -> Result<Option<Vec<String>>> {
    let is_made_later = containerd.distro.way() != Way::File || containerd.distro.programs().is_empty();
    let (Some(program), false) = (&containerd.program, is_made_later) else { return Ok(None) };
    let mut command = inside::command(&containerd.root, program)?;
    command
        .arg("--config")
        .arg(&containerd.config)
        .args(["config", "dump"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(CALL * 4, command.output()).await;
    let shown = program.display();
    let output = output.with_context(|| format!("{shown} does not come to an end"))?;
    let output = output.with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why =
            why.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim().to_owned();
        bail!("containerd refuses it: {why}");
    }
    let dump = String::from_utf8_lossy(&output.stdout);
    let document: DocumentMut = dump.parse().context("`containerd config dump` wrote no TOML")?;
    Ok(Some(handlers(&document)))
}

fn handlers(document: &DocumentMut) -> Vec<String> {
    let runtimes = |version| {
        let mut item = document.get("plugins")?;
        for key in [plugin(version), "containerd", "runtimes"] {
            item = item.as_table_like()?.get(key)?;
        }
        Item::as_table_like(item)
    };
    let tables = [2, 3].into_iter().filter_map(runtimes);
    tables.flat_map(|table| table.iter().map(|(handler, _)| handler.to_owned()).collect::<Vec<_>>()).collect()
}
