//! systemd's D-Bus interface (org.freedesktop.systemd1(5)), on the bus or on systemd's own socket. Its systemctl would be of no use: from
//! a pod's process namespace it cannot tell who answers at that socket, and gives up.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use dbus::wire::{Message, Method, Writer};
use dbus::{Bus, SYSTEM};

use crate::paths::Root;

/// systemd's own socket, by which `systemctl` does without a bus: images of nodes may have none.
const PRIVATE: &str = "/run/systemd/private";
/// How long a bus may take to let us in: one that has ended may leave a socket behind at which systemd listens for it.
const BUS: Duration = Duration::from_secs(3);
/// How often a job is looked at.
const PAUSE: Duration = Duration::from_millis(100);

const MANAGER: Method<'static> = Method {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "",
};
const GET: Method<'static> =
    Method { interface: "org.freedesktop.DBus.Properties", member: "Get", ..MANAGER };
/// The interface of a unit's properties.
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// A unit of the node's systemd.
struct Unit<'a> {
    name: &'a str,
    /// Its object.
    path: String,
    bus: Bus,
}

/// Restarts the one of `units` that the node has, and waits until that is done.
pub async fn restart(root: &Root, units: &[&str]) -> Result<()> {
    let mut unit = choose(root, units).await?;
    let name = unit.name;
    let context = || format!("systemd could not restart {name}: `journalctl -u {name}` says why");
    // A unit that was started too often, as one with a broken config is, would be refused.
    ask(&mut unit.bus, "ResetFailedUnit", &[name]).await.with_context(context)?;
    ask(&mut unit.bus, "RestartUnit", &[name, "replace"]).await.with_context(context)?;
    while unit.has_job().await.with_context(context)? {
        tokio::time::sleep(PAUSE).await;
    }
    match unit.text("ActiveState").await?.as_str() {
        "active" | "activating" | "reloading" => Ok(()),
        other => bail!("{name} is {other} after its restart: `journalctl -u {name}` says why"),
    }
}

/// Whether the one of `units` that the node has is being started or stopped.
pub async fn has_job(root: &Root, units: &[&str]) -> Result<bool> {
    choose(root, units).await?.has_job().await
}

/// Whether there is something to restart: systemd answers and has one of `units` in use.
pub async fn check(root: &Root, units: &[&str]) -> Result<()> {
    choose(root, units).await.map(drop)
}

/// The unit that is in use: see [`rank`].
async fn choose<'a>(root: &Root, units: &[&'a str]) -> Result<Unit<'a>> {
    let mut bus = connect(root).await?;
    let mut chosen: Option<(u8, &'a str, String)> = None;
    for &name in units {
        let loaded = ask(&mut bus, "LoadUnit", &[name]).await;
        let path = loaded.with_context(|| format!("systemd does not know {name}"))?.body().string()?;
        let mut unit = Unit { name, path, bus };
        let rank = rank(&unit.text("ActiveState").await?, &unit.text("UnitFileState").await?);
        if let Some(rank) = rank
            && chosen.as_ref().is_none_or(|(best, ..)| rank < *best)
        {
            chosen = Some((rank, unit.name, unit.path));
        }
        bus = unit.bus;
    }
    let (_, name, path) = chosen.with_context(|| {
        format!(
            "systemd neither runs nor starts a unit {}: give --restart-command with what restarts containerd",
            units.join(" or ")
        )
    })?;
    Ok(Unit { name, path, bus })
}

async fn connect(root: &Root) -> Result<Bus> {
    let socket = root.at(SYSTEM);
    let bus = tokio::time::timeout(BUS, Bus::system(&socket)).await;
    let no_bus = match bus.context("the message bus does not answer").flatten() {
        Ok(bus) => return Ok(bus),
        Err(error) => error,
    };
    Bus::peer(&root.at(PRIVATE)).await.with_context(|| {
        format!("cannot reach systemd: on a node without it, give --restart-command: {no_bus:#}; and")
    })
}

/// Calls a method of systemd's manager; all of ours have strings for arguments.
async fn ask(bus: &mut Bus, member: &str, args: &[&str]) -> Result<Message> {
    call(bus, &Method { member, ..MANAGER }, args).await
}

async fn call(bus: &mut Bus, method: &Method<'_>, args: &[&str]) -> Result<Message> {
    let mut body = Writer::default();
    args.iter().for_each(|arg| body.string(arg));
    bus.call(method, &"s".repeat(args.len()), body).await
}

impl Unit<'_> {
    /// A property; its value follows the type of a variant.
    async fn property(&mut self, name: &str) -> Result<Message> {
        let answer = call(&mut self.bus, &Method { path: &self.path, ..GET }, &[UNIT, name]).await;
        answer.with_context(|| format!("systemd does not tell the {name} of {}", self.name))
    }

    async fn text(&mut self, property: &str) -> Result<String> {
        let answer = self.property(property).await?;
        let mut body = answer.body();
        match body.signature()?.as_str() {
            "s" => body.string(),
            other => bail!("{property} is of the type {other:?}"),
        }
    }

    /// Whether it is being started or stopped.
    async fn has_job(&mut self) -> Result<bool> {
        let answer = self.property("Job").await?;
        let mut body = answer.body();
        match body.signature()?.as_str() {
            "(uo)" => Ok(body.structure().u32()? != 0),
            other => bail!("Job is of the type {other:?}"),
        }
    }
}

/// How much speaks for a unit, the least number most: one that runs, one on its way, one that could not, one that starts with the
/// machine. A node may have the units of two roles: one that is merely there is none of these.
fn rank(active: &str, file: &str) -> Option<u8> {
    match (active, file) {
        ("active" | "reloading" | "refreshing", _) => Some(0),
        ("activating" | "deactivating" | "maintenance", _) => Some(1),
        ("failed", _) => Some(2),
        (_, "enabled") => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best of units, by what is known of each.
    fn best<'a>(units: &[(&'a str, &str, &str)]) -> Option<&'a str> {
        let ranked = units.iter().filter_map(|(name, active, file)| Some((rank(active, file)?, *name)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
    }

    #[test]
    fn the_unit_in_use_is_not_the_one_that_is_merely_there() {
        for active in ["active", "activating", "reloading", "deactivating", "failed"] {
            let worker =
                [("rke2-server.service", "inactive", "disabled"), ("rke2-agent.service", active, "enabled")];
            assert_eq!(best(&worker), Some("rke2-agent.service"), "{active}");
        }
        let stopped =
            [("rke2-server.service", "inactive", "disabled"), ("rke2-agent.service", "inactive", "enabled")];
        assert_eq!(best(&stopped), Some("rke2-agent.service"));
        let was_server =
            [("rke2-server.service", "failed", "disabled"), ("rke2-agent.service", "active", "enabled")];
        assert_eq!(best(&was_server), Some("rke2-agent.service"));
        assert_eq!(best(&[("containerd.service", "inactive", "static")]), None);
        assert_eq!(best(&[("containerd.service", "inactive", "")]), None);
    }

    #[tokio::test]
    async fn a_node_without_systemd_is_told_of_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(&Root::new(folder.path()), &["containerd.service"]).await.unwrap_err();
        assert!(format!("{error:#}").contains("give --restart-command"), "{error:#}");
    }
}
